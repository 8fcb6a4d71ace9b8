package stompgate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.springframework.messaging.simp.stomp.ConnectionLostException;
import org.springframework.messaging.simp.stomp.StompHeaders;
import stompgate.Talker.Inbox;

/** WebSocketStompClient, over Tomcat's WebSocket client. */
class WebSocketClientTest extends ClientContract {
    private static final int PIECE = 16 * 1024;

    // In pieces as many configure it, since servers of Spring's take no larger ones.
    @Override
    Door door() {
        return Door.webSocket(Target.WEB_SOCKET, client -> client.setOutboundMessageSizeLimit(PIECE));
    }

    @Test
    void largeFrameInOnePieceIsTakenToo() {
        String destination = "/topic/" + Patience.unique("room.");
        String text = "日本語🎉".repeat(10_000);
        try (Door whole = Door.webSocket(Target.WEB_SOCKET); Talker ann = Talker.connect(whole)) {
            Inbox inbox = ann.subscribe(destination);
            ann.send(destination, text);
            assertEquals(text, inbox.next().text());
        }
    }

    @Test
    @OnlyStompgate
    void errorIsFollowedByTheEnd() {
        try (Talker ann = talker()) {
            ann.session().send("/nowhere/at-all", "hello");
            ann.nextError();
            assertInstanceOf(ConnectionLostException.class, ann.end());
        }
    }

    // Nothing else ends the wait for CONNECTED: Spring's client has no time limit for it.
    @Test
    @OnlyStompgate
    void refusedConnectEndsTheWaitForTheSession() {
        StompHeaders headers = Talker.account();
        headers.setPasscode("wrong");
        try (Door door = door()) {
            Talker ann = Talker.begin(door, headers);
            var failure = assertThrows(ExecutionException.class,
                    () -> ann.opened.get(Patience.DEADLINE.toSeconds(), TimeUnit.SECONDS));
            assertInstanceOf(ConnectionLostException.class, failure.getCause());
        }
    }
}
