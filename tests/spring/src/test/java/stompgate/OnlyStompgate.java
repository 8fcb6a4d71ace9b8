package stompgate;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;

/** What RabbitMQ's own STOMP plugin does not do. Everything else holds for both: the plugin is what we are compared with. */
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.METHOD, ElementType.TYPE})
@EnabledIfEnvironmentVariable(named = "STOMPGATE_SPRING_SERVER", matches = "stompgate")
@interface OnlyStompgate {
}
