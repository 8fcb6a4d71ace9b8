package stompgate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.springframework.messaging.simp.stomp.StompHeaders;
import stompgate.Talker.Inbox;

/** ReactorNettyTcpStompClient, to the TCP port. */
class TcpClientTest extends ClientContract {
    @Override
    Door door() {
        return Door.tcp(Target.TCP.get(0));
    }

    @Test
    void sessionGoesOnAfterAnError() {
        String destination = "/topic/" + Patience.unique("room.");
        try (Talker ann = talker()) {
            ann.session().send("/nowhere/at-all", "hello");
            ann.nextError();
            Inbox inbox = ann.subscribe(destination);
            ann.send(destination, "still here");
            assertEquals("still here", inbox.next().text());
        }
    }

    // Relays of Spring 5 pass the host on that the browser gave.
    @Test
    @OnlyStompgate
    void hostOfABrowserDoesNoHarm() {
        StompHeaders headers = Talker.account();
        headers.setHost("www.example.org");
        try (Door door = door()) {
            Talker.connect(door, headers).close();
        }
    }

    @Test
    void twoServersShareTheRooms() {
        String destination = "/topic/" + Patience.unique("room.");
        try (Talker ann = talker(); Door other = Door.tcp(Target.TCP.get(1)); Talker bob = Talker.connect(other)) {
            Inbox inbox = ann.subscribe(destination);
            bob.send(destination, "hello");
            assertEquals("hello", inbox.next().text());
        }
    }
}
