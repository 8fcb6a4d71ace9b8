package stompgate;

import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import stompgate.chat.Relay;

/** What is tested: two servers that share a broker. spring.test.mjs starts them and says where in the environment. */
final class Target {
    static final String LOGIN = "guest";
    static final String PASSCODE = "guest";
    static final URI WEB_SOCKET = URI.create(env("STOMPGATE_SPRING_WS"));
    static final List<InetSocketAddress> TCP = Stream.of(env("STOMPGATE_SPRING_TCP").split(",")).map(Target::address).toList();

    private static final HttpClient HTTP = HttpClient.newHttpClient();
    private static final Duration PATIENCE = Duration.ofSeconds(90);

    private Target() {
    }

    static String env(String name) {
        String value = System.getenv(name);
        if (value == null) {
            throw new IllegalStateException(name + " is not set: run these tests with scripts/test spring");
        }
        return value;
    }

    private static InetSocketAddress address(String text) {
        int colon = text.lastIndexOf(':');
        return new InetSocketAddress(text.substring(0, colon), Integer.parseInt(text.substring(colon + 1)));
    }

    static Relay relay(int server) {
        InetSocketAddress address = TCP.get(server);
        return new Relay(address.getHostString(), address.getPort(), LOGIN, PASSCODE);
    }

    /** Ends the second server. */
    static void stopSecond() {
        control("stop");
    }

    /** Starts the second server again, on the same ports. */
    static void startSecond() {
        control("start");
    }

    /** Restarts RabbitMQ behind both servers. */
    static void restartBroker() {
        control("restart-broker");
    }

    private static void control(String verb) {
        URI uri = URI.create(env("STOMPGATE_SPRING_CONTROL") + "/" + verb);
        HttpRequest request = HttpRequest.newBuilder(uri).timeout(PATIENCE).POST(HttpRequest.BodyPublishers.noBody()).build();
        try {
            var answer = HTTP.send(request, BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IllegalStateException("could not " + verb + ": " + answer.body());
            }
        } catch (java.io.IOException | InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }
}
