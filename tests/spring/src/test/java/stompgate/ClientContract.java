package stompgate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.messaging.converter.SimpleMessageConverter;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.util.MimeTypeUtils;
import stompgate.Talker.Heard;
import stompgate.Talker.Inbox;

/** What both of Spring's STOMP clients must find. */
abstract class ClientContract {
    private static final int LARGE = 300_000;
    private static final long SHORT_MS = 1000;

    private Door door;

    /** A client as the application would make it. */
    abstract Door door();

    @BeforeEach
    void open() {
        door = door();
    }

    @AfterEach
    void shut() {
        door.close();
    }

    Talker talker() {
        return Talker.connect(door);
    }

    private Talker talker(String version) {
        StompHeaders headers = Talker.account();
        headers.setAcceptVersion(version);
        return Talker.connect(door, headers);
    }

    private static StompHeaders subscription(String destination, String ack) {
        StompHeaders headers = Talker.to(destination);
        headers.setAck(ack);
        headers.set("prefetch-count", "1");
        return headers;
    }

    @Test
    void connectedHasAllThatSpringReads() {
        try (Talker talker = talker()) {
            StompHeaders headers = Patience.done("CONNECTED", talker.connected);
            assertEquals("1.2", headers.getFirst("version"));
            assertNotNull(headers.getSession());
            assertNotNull(headers.getFirst("server"));
            assertEquals(2, headers.getHeartbeat().length);
        }
    }

    @Test
    @OnlyStompgate
    void connectedNamesTheUser() {
        try (Talker talker = talker()) {
            assertEquals(Target.LOGIN, Patience.done("CONNECTED", talker.connected).getFirst("user-name"));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"1.1", "1.2"})
    void versionIsWhatTheClientAccepts(String version) {
        try (Talker talker = talker(version)) {
            assertEquals(version, Patience.done("CONNECTED", talker.connected).getFirst("version"));
        }
    }

    @Test
    void headersOfConnectThatNobodyKnowsDoNoHarm() {
        StompHeaders headers = Talker.account();
        headers.set("Authorization", "Bearer abc.def.ghi");
        headers.set("X-CSRF-TOKEN", "42");
        Talker.connect(door, headers).close();
    }

    @Test
    void messageKeepsDestinationAndHeaders() {
        String destination = "/topic/" + Patience.unique("room.");
        try (Talker ann = talker(); Talker bob = talker()) {
            Inbox inbox = ann.subscribe(destination);
            StompHeaders headers = Talker.to(destination);
            headers.set("colour", "blue: \\ back\nand ü 🎉");
            bob.send(headers, "hello");
            Heard heard = inbox.next();
            assertEquals("hello", heard.text());
            assertEquals(destination, heard.headers().getDestination());
            assertEquals(inbox.subscription().getSubscriptionId(), heard.headers().getSubscription());
            assertEquals("blue: \\ back\nand ü 🎉", heard.headers().getFirst("colour"));
            assertEquals("text/plain;charset=UTF-8", heard.headers().getFirst("content-type"));
            assertNotNull(heard.headers().getMessageId());
        }
    }

    @Test
    @OnlyStompgate
    void receiptIsTheSendersAlone() {
        String destination = "/topic/" + Patience.unique("room.");
        try (Talker ann = talker()) {
            Inbox inbox = ann.subscribe(destination);
            ann.send(destination, "hello");
            assertNull(inbox.next().headers().getReceipt());
        }
    }

    @Test
    void eachSubscriptionHasItsOwnMessages() {
        String one = "/topic/" + Patience.unique("one.");
        String two = "/topic/" + Patience.unique("two.");
        try (Talker ann = talker()) {
            Inbox first = ann.subscribe(one);
            Inbox second = ann.subscribe(two);
            Inbox again = ann.subscribe(one);
            ann.send(one, "1");
            ann.send(two, "2");
            assertEquals("1", first.next().text());
            assertEquals("2", second.next().text());
            assertEquals("1", again.next().text());
            assertTrue(first.frames().isEmpty() && second.frames().isEmpty() && again.frames().isEmpty());
        }
    }

    @Test
    void orderIsKept() {
        String destination = "/topic/" + Patience.unique("order.");
        List<String> sent = IntStream.range(0, 300).mapToObj(Integer::toString).toList();
        try (Talker ann = talker(); Talker bob = talker()) {
            Inbox inbox = ann.subscribe(destination);
            sent.forEach(text -> bob.session().send(destination, text));
            assertEquals(sent, sent.stream().map(text -> inbox.next().text()).toList());
        }
    }

    @Test
    void unsubscribedHearsNoMore() {
        String destination = "/topic/" + Patience.unique("room.");
        try (Talker ann = talker()) {
            Inbox gone = ann.subscribe(destination);
            gone.subscription().unsubscribe();
            Inbox stays = ann.subscribe(destination);
            ann.send(destination, "hello");
            stays.next();
            assertTrue(gone.frames().isEmpty());
        }
    }

    @Test
    void textAndJsonGoThroughTheConverters() {
        String destination = "/topic/" + Patience.unique("room.");
        Map<String, List<Object>> value = Map.of("list", List.of(1, "zwei", "三"));
        try (Talker ann = talker()) {
            Inbox texts = ann.subscribe(destination);
            ann.send(destination, "");
            assertNull(texts.next().payload());
            texts.subscription().unsubscribe();
            Inbox json = ann.subscribe(Talker.to(destination), Map.class);
            ann.send(destination, value);
            Heard heard = json.next();
            assertEquals(value, heard.payload());
            assertEquals(MimeTypeUtils.APPLICATION_JSON, heard.headers().getContentType());
        }
    }

    // The plugin puts them into text messages of WebSocket, which ends the connection.
    @Test
    @OnlyStompgate
    void allBytesArrive() {
        String destination = "/topic/" + Patience.unique("room.");
        byte[] bytes = new byte[256];
        IntStream.range(0, bytes.length).forEach(i -> bytes[i] = (byte) i);
        try (Talker ann = talker()) {
            Inbox inbox = ann.subscribe(Talker.to(destination), byte[].class);
            ann.send(destination, bytes);
            Heard heard = inbox.next();
            assertArrayEquals(bytes, (byte[]) heard.payload());
            assertEquals(MimeTypeUtils.APPLICATION_OCTET_STREAM, heard.headers().getContentType());
        }
    }

    // Spring's converters refuse what a server invents.
    @Test
    void noContentTypeIsInvented() {
        String destination = "/topic/" + Patience.unique("room.");
        door.client().setMessageConverter(new SimpleMessageConverter());
        try (Talker ann = talker()) {
            Inbox inbox = ann.subscribe(Talker.to(destination), byte[].class);
            ann.send(destination, new byte[] {65});
            assertNull(inbox.next().headers().getFirst("content-type"));
        }
    }

    @Test
    void largeFramesGoBothWays() {
        String destination = "/topic/" + Patience.unique("room.");
        String text = "x".repeat(LARGE);
        try (Talker ann = talker()) {
            Inbox inbox = ann.subscribe(destination);
            ann.send(destination, text);
            assertEquals(text, inbox.next().text());
            inbox.subscription().unsubscribe();
            Inbox binary = ann.subscribe(Talker.to(destination), byte[].class);
            ann.send(destination, new byte[LARGE]);
            assertArrayEquals(new byte[LARGE], (byte[]) binary.next().payload());
        }
    }

    @Test
    void queueKeepsMessagesForWhoComesLater() {
        String destination = "/queue/" + Patience.unique("work");
        try (Talker ann = talker(); Talker bob = talker()) {
            ann.send(destination, "1");
            ann.send(destination, "2");
            Inbox inbox = bob.subscribe(destination);
            assertEquals("1", inbox.next().text());
            assertEquals("2", inbox.next().text());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"1.1", "1.2"})
    void ackByTheMessageIdLetsTheNextOneCome(String version) {
        String destination = "/queue/" + Patience.unique("work");
        try (Talker ann = talker(version); Talker bob = talker()) {
            Inbox inbox = ann.subscribe(subscription(destination, "client-individual"));
            bob.send(destination, "1");
            bob.send(destination, "2");
            Heard first = inbox.next();
            assertEquals("1", first.text());
            assertTrue(inbox.frames().isEmpty());
            ann.acknowledge(first);
            assertEquals("2", inbox.next().text());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"1.1", "1.2"})
    void nackPutsTheMessageBack(String version) {
        String destination = "/queue/" + Patience.unique("work");
        try (Talker ann = talker(version)) {
            Inbox inbox = ann.subscribe(subscription(destination, "client-individual"));
            ann.send(destination, "1");
            ann.acknowledge(inbox.next(), false);
            Heard again = inbox.next();
            assertEquals("1", again.text());
            assertEquals("true", again.headers().getFirst("redelivered"));
            ann.acknowledge(again);
        }
    }

    @Test
    void ackOfClientIsCumulative() {
        String destination = "/queue/" + Patience.unique("work");
        StompHeaders headers = subscription(destination, "client");
        headers.set("prefetch-count", "3");
        try (Talker ann = talker()) {
            Inbox inbox = ann.subscribe(headers);
            List.of("1", "2", "3", "4", "5", "6").forEach(text -> ann.send(destination, text));
            inbox.next();
            inbox.next();
            Heard third = inbox.next();
            assertTrue(inbox.frames().isEmpty());
            ann.acknowledge(third);
            assertEquals(List.of("4", "5", "6"), List.of(inbox.next().text(), inbox.next().text(), inbox.next().text()));
        }
    }

    @Test
    void whatWasNotAcknowledgedGoesToTheNext() {
        String destination = "/queue/" + Patience.unique("work");
        try (Talker bob = talker()) {
            try (Talker ann = talker()) {
                Inbox inbox = ann.subscribe(subscription(destination, "client"));
                bob.send(destination, "1");
                bob.send(destination, "2");
                ann.acknowledge(inbox.next());
                assertEquals("2", inbox.next().text());
            }
            Heard again = bob.subscribe(subscription(destination, "client")).next();
            assertEquals("2", again.text());
            assertEquals("true", again.headers().getFirst("redelivered"));
        }
    }

    @Test
    void competingConsumersShareAQueue() {
        String destination = "/queue/" + Patience.unique("work");
        try (Talker ann = talker(); Talker bob = talker()) {
            Inbox first = ann.subscribe(subscription(destination, "client-individual"));
            Inbox second = bob.subscribe(subscription(destination, "client-individual"));
            ann.send(destination, "1");
            ann.send(destination, "2");
            assertNotEquals(first.next().text(), second.next().text());
        }
    }

    @Test
    void heartbeatsKeepAnIdleConnectionOnBothSides() {
        door.client().setDefaultHeartbeat(new long[] {SHORT_MS, SHORT_MS});
        String destination = "/topic/" + Patience.unique("room.");
        try (Talker ann = talker(); Door other = door(); Talker bob = Talker.connect(other)) {
            assertArrayEquals(new long[] {SHORT_MS, SHORT_MS}, Patience.done("CONNECTED", ann.connected).getHeartbeat());
            Inbox inbox = ann.subscribe(destination);
            // Spring closes after three intervals of silence, servers after two or more
            assertTrue(ann.lasts(4 * SHORT_MS));
            // not by ann: over Tomcat's WebSocket Spring's client cannot send while it sends a heart-beat
            bob.send(destination, "still here");
            assertEquals("still here", inbox.next().text());
        }
    }

    @Test
    void disconnectEndsTheSubscriptions() {
        String destination = "/queue/" + Patience.unique("work");
        try (Talker bob = talker()) {
            Talker ann = talker();
            ann.subscribe(destination);
            ann.close();
            assertFalse(ann.session().isConnected());
            Patience.until("the consumer to be gone", () -> consumers(destination) == 0);
            bob.send(destination, "1");
            assertEquals("1", bob.subscribe(destination).next().text());
        }
    }

    private static int consumers(String destination) {
        return Broker.queue(destination.substring("/queue/".length())).map(queue -> queue.path("consumers").asInt(-1)).orElse(-1);
    }

    @Test
    void errorSaysWhatWasWrong() {
        try (Talker ann = talker()) {
            ann.session().send("/nowhere/at-all", "hello");
            assertEquals("Unknown destination", ann.nextError().headers().getFirst("message"));
        }
    }

    @Test
    @OnlyStompgate
    void errorNamesTheReceiptThatWillNotCome() {
        StompHeaders headers = Talker.to("/nowhere/at-all");
        headers.setReceipt("never");
        try (Talker ann = talker()) {
            ann.session().send(headers, "hello");
            assertEquals("never", ann.nextError().headers().getReceiptId());
        }
    }

    @Test
    void acknowledgingTheUnknownIsAnError() {
        try (Talker ann = talker()) {
            ann.session().acknowledge("T_0@@session-unknown@@1", true);
            assertEquals("Subscription not found", ann.nextError().headers().getFirst("message"));
        }
    }

    @Test
    void wrongPasscodeIsAnError() {
        StompHeaders headers = Talker.account();
        headers.setPasscode("wrong");
        Talker ann = Talker.begin(door, headers);
        assertEquals("Bad CONNECT", ann.nextError().headers().getFirst("message"));
        assertFalse(ann.connected.isDone());
    }

    @Test
    @OnlyStompgate
    void roomsMayHaveSlashes() {
        String destination = "/topic/" + Patience.unique("a") + "/b/c";
        try (Talker ann = talker()) {
            Inbox inbox = ann.subscribe(destination);
            ann.send(destination, "hello");
            assertEquals(destination, inbox.next().headers().getDestination());
        }
    }

    @Test
    @OnlyStompgate
    void unsubscribingWhatIsUnknownDoesNoHarm() {
        String destination = "/topic/" + Patience.unique("room.");
        try (Talker ann = talker()) {
            Inbox inbox = ann.subscribe(destination);
            inbox.subscription().unsubscribe();
            inbox.subscription().unsubscribe();
            Inbox again = ann.subscribe(destination);
            ann.send(destination, "hello");
            assertEquals("hello", again.next().text());
        }
    }
}
