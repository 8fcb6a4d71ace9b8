package stompgate.chat;

import java.security.Principal;
import java.util.Map;
import org.springframework.beans.factory.config.BeanPostProcessor;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.server.ServerHttpRequest;
import org.springframework.messaging.simp.config.ChannelRegistration;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.messaging.simp.user.UserRegistryMessageHandler;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import org.springframework.web.socket.server.support.DefaultHandshakeHandler;
import org.springframework.web.util.UriComponentsBuilder;

/** The broker relay as applications configure it; instances tell each other of users that they do not know. */
@Configuration
@EnableWebSocketMessageBroker
class ChatConfiguration implements WebSocketMessageBrokerConfigurer {
    private static final long HEARTBEAT_MS = 1000;
    private static final long REGISTRY_EXPIRES_MS = 3000;

    private final Relay relay;

    ChatConfiguration(Relay relay) {
        this.relay = relay;
    }

    @Override
    public void configureMessageBroker(MessageBrokerRegistry registry) {
        registry.setApplicationDestinationPrefixes("/app");
        registry.enableStompBrokerRelay("/topic", "/queue")
                .setRelayHost(relay.host())
                .setRelayPort(relay.port())
                .setSystemLogin(relay.login())
                .setSystemPasscode(relay.passcode())
                .setClientLogin(relay.login())
                .setClientPasscode(relay.passcode())
                .setSystemHeartbeatSendInterval(HEARTBEAT_MS)
                .setSystemHeartbeatReceiveInterval(HEARTBEAT_MS)
                .setUserDestinationBroadcast("/topic/chat.unresolved")
                .setUserRegistryBroadcast("/topic/chat.users");
    }

    // One thread: else a browser's COMMIT may overtake its SEND. Spring's own way to keep the order, setPreserveReceiveOrder, loses
    // messages for users with several sessions ("Expected mutable SimpMessageHeaderAccessor").
    @Override
    public void configureClientInboundChannel(ChannelRegistration registration) {
        registration.taskExecutor().corePoolSize(1).maxPoolSize(1);
    }

    @Override
    public void registerStompEndpoints(StompEndpointRegistry registry) {
        registry.addEndpoint("/chat").setHandshakeHandler(new UserFromQuery());
    }

    // The registry is broadcast twice in its life, which by default takes as long as all the tests.
    @Bean
    static BeanPostProcessor hastyRegistry() {
        return new BeanPostProcessor() {
            @Override
            public Object postProcessAfterInitialization(Object bean, String name) {
                if (bean instanceof UserRegistryMessageHandler handler) {
                    handler.setRegistryExpirationPeriod(REGISTRY_EXPIRES_MS);
                }
                return bean;
            }
        };
    }

    private static final class UserFromQuery extends DefaultHandshakeHandler {
        @Override
        protected Principal determineUser(ServerHttpRequest request, WebSocketHandler handler, Map<String, Object> attributes) {
            String user = UriComponentsBuilder.fromUri(request.getURI()).build().getQueryParams().getFirst("user");
            return () -> user;
        }
    }
}
