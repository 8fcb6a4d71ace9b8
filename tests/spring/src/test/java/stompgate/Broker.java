package stompgate;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.Optional;

/** RabbitMQ's management API: what there is behind the server. */
final class Broker {
    private static final HttpClient HTTP = HttpClient.newHttpClient();
    private static final String BASE = Target.env("STOMPGATE_MANAGEMENT").replaceAll("/$", "") + "/api/queues/"
            + URLEncoder.encode(Target.env("STOMPGATE_SPRING_VHOST"), StandardCharsets.UTF_8) + "/";
    private static final String AUTHORIZATION =
            "Basic " + Base64.getEncoder().encodeToString((Target.LOGIN + ":" + Target.PASSCODE).getBytes(StandardCharsets.UTF_8));

    private Broker() {
    }

    /** What the broker says of a queue; empty when there is none. */
    static Optional<JsonNode> queue(String name) {
        URI uri = URI.create(BASE + URLEncoder.encode(name, StandardCharsets.UTF_8));
        HttpRequest request = HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(10)).header("Authorization", AUTHORIZATION).build();
        try {
            var answer = HTTP.send(request, BodyHandlers.ofString());
            if (answer.statusCode() == 404) {
                return Optional.empty();
            }
            if (answer.statusCode() != 200) {
                throw new IllegalStateException("management API: " + answer.statusCode() + " " + answer.body());
            }
            return Optional.of(new ObjectMapper().readTree(answer.body()));
        } catch (IOException | InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }
}
