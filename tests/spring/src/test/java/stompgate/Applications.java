package stompgate;

import java.net.URI;
import org.springframework.messaging.simp.stomp.StompHeaders;
import stompgate.chat.Availability;
import stompgate.chat.ChatServer;

/** Two instances of the application, each with a server of its own as its broker; started once for all tests. */
final class Applications {
    static final ChatServer FIRST = start(0);
    static final ChatServer SECOND = start(1);

    private Applications() {
    }

    private static ChatServer start(int server) {
        ChatServer application = new ChatServer(Target.relay(server));
        Runtime.getRuntime().addShutdownHook(new Thread(application::close));
        awaitBroker(application);
        return application;
    }

    static void awaitBroker(ChatServer application) {
        Patience.until("the application's connection to its broker", application.bean(Availability.class)::isAvailable);
    }

    /** A browser of this user, connected to that instance. */
    static Talker browser(ChatServer application, String user) {
        return Talker.connect(door(application, user), new StompHeaders());
    }

    static Door door(ChatServer application, String user) {
        return Door.webSocket(URI.create(application.url(user)));
    }
}
