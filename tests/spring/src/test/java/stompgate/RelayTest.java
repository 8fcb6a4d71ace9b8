package stompgate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.springframework.messaging.simp.SimpMessageHeaderAccessor;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.messaging.simp.stomp.ConnectionLostException;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.user.SimpUserRegistry;
import stompgate.Talker.Heard;
import stompgate.Talker.Inbox;
import stompgate.chat.Availability;

/** An application with enableStompBrokerRelay("/topic", "/queue"), and Spring's own client as its browser. */
class RelayTest {
    private static final SimpMessagingTemplate TEMPLATE = Applications.FIRST.bean(SimpMessagingTemplate.class);

    private final String user = Patience.unique("user");
    private final String room = "/topic/" + Patience.unique("room.");

    private long losses;

    @BeforeEach
    void bothHaveTheirBroker() {
        Applications.awaitBroker(Applications.FIRST);
        Applications.awaitBroker(Applications.SECOND);
        losses = Applications.FIRST.bean(Availability.class).losses();
    }

    // Without its own connection the application can publish nothing until it has it again.
    @AfterEach
    void theApplicationNeverLosesItsBroker() {
        assertEquals(losses, Applications.FIRST.bean(Availability.class).losses());
    }

    private Talker browser() {
        return Applications.browser(Applications.FIRST, user);
    }

    private Talker elsewhere(String name) {
        return Applications.browser(Applications.SECOND, name);
    }

    @Test
    void applicationBroadcastsToTheBrowsersOfAllInstances() {
        try (Talker ann = browser(); Talker bob = elsewhere("bob")) {
            Inbox here = ann.subscribe(room);
            Inbox there = bob.subscribe(room);
            TEMPLATE.convertAndSend(room, "news");
            assertEquals("news", here.next().text());
            assertEquals("news", there.next().text());
        }
    }

    @Test
    void browserSendsToTheRoomThroughTheRelay() {
        try (Talker ann = browser(); Talker bob = elsewhere("bob")) {
            Inbox inbox = bob.subscribe(room);
            StompHeaders headers = Talker.to(room);
            headers.set("colour", "blue: \\ back\nand ü 🎉");
            ann.send(headers, "hello");
            Heard heard = inbox.next();
            assertEquals("hello", heard.text());
            assertEquals(room, heard.headers().getDestination());
            assertEquals("blue: \\ back\nand ü 🎉", heard.headers().getFirst("colour"));
        }
    }

    @Test
    void connectedComesFromTheBrokerWithTheUsersName() {
        try (Talker ann = browser()) {
            StompHeaders headers = Patience.done("CONNECTED", ann.connected);
            assertEquals("1.2", headers.getFirst("version"));
            assertEquals(user, headers.getFirst("user-name"));
            assertNotNull(headers.getHeartbeat());
        }
    }

    @Test
    void controllerAnswersIntoARoom() {
        String name = Patience.unique("hall");
        try (Talker ann = browser(); Talker bob = elsewhere("bob")) {
            Inbox inbox = bob.subscribe("/topic/room." + name);
            ann.session().send("/app/say/" + name, "hello");
            assertEquals(user + ": hello", inbox.next().text());
        }
    }

    @Test
    void controllerAnswersJsonToTheDestinationOfItsName() {
        try (Talker ann = browser()) {
            Inbox inbox = ann.subscribe(Talker.to("/topic/sum"), Map.class);
            ann.session().send("/app/sum", List.of(1, 2, 39));
            assertEquals(Map.of("sum", 42), inbox.next().payload());
        }
    }

    @Test
    @OnlyStompgate
    void unsubscribingWhatTheApplicationAnsweredItselfDoesNoHarm() {
        try (Talker ann = browser()) {
            Inbox welcome = ann.listen(Talker.to("/app/welcome"), String.class);
            assertEquals("welcome " + user, welcome.next().text());
            welcome.subscription().unsubscribe();
            Inbox inbox = ann.subscribe(room);
            ann.send(room, "still here");
            assertEquals("still here", inbox.next().text());
        }
    }

    @Test
    void userDestinationReachesThatUserAlone() {
        String other = Patience.unique("other");
        try (Talker ann = browser(); Talker bob = Applications.browser(Applications.FIRST, other)) {
            Inbox forAnn = ann.subscribe("/user/queue/news");
            Inbox forBob = bob.subscribe("/user/queue/news");
            TEMPLATE.convertAndSendToUser(user, "/queue/news", "for ann");
            TEMPLATE.convertAndSendToUser(other, "/queue/news", "for bob");
            assertEquals("for ann", forAnn.next().text());
            Heard heard = forBob.next();
            assertEquals("for bob", heard.text());
            assertEquals("/user/queue/news", heard.headers().getDestination());
            assertTrue(forAnn.frames().isEmpty() && forBob.frames().isEmpty());
        }
    }

    @Test
    void userDestinationReachesAllSessionsOfTheUser() {
        try (Talker desk = browser(); Talker phone = browser()) {
            Inbox one = desk.subscribe("/user/queue/news");
            Inbox two = phone.subscribe("/user/queue/news");
            TEMPLATE.convertAndSendToUser(user, "/queue/news", "for both");
            assertEquals("for both", one.next().text());
            assertEquals("for both", two.next().text());
        }
    }

    @Test
    void answerGoesToTheSessionThatAsked() {
        try (Talker desk = browser(); Talker phone = browser()) {
            Inbox one = desk.subscribe("/user/queue/answers");
            Inbox two = phone.subscribe("/user/queue/answers");
            desk.session().send("/app/whisper", "a");
            assertEquals("whispered a", one.next().text());
            phone.session().send("/app/ask", "b");
            assertEquals("answer to b", one.next().text());
            assertEquals("answer to b", two.next().text());
        }
    }

    private static String queueOf(Talker browser, String destination) {
        return destination + "-user" + sessionOf(browser);
    }

    // CONNECTED tells the browser the name of the broker's session, not of the application's.
    private static String sessionOf(Talker browser) {
        String name = Patience.done("CONNECTED", browser.connected).getFirst("user-name");
        return Applications.FIRST.bean(SimpUserRegistry.class).getUser(name).getSessions().iterator().next().getId();
    }

    @Test
    @OnlyStompgate
    void queueOfAUserIsTheSessionsAloneAndGoesWithIt() {
        String queue;
        try (Talker ann = browser()) {
            ann.subscribe("/user/queue/news");
            queue = queueOf(ann, "news");
            var found = Broker.queue(queue).orElseThrow();
            assertTrue(found.path("exclusive").asBoolean());
            assertTrue(found.path("auto_delete").asBoolean());
        }
        Patience.until("the user's queue to be gone", () -> Broker.queue(queue).isEmpty());
    }

    // What UserDestinationMessageHandler sends when the session went between its look at the registry and the SEND.
    @Test
    @OnlyStompgate
    void sendToAUserWhoHasGoneMakesNoQueue() {
        String gone = "news-user" + Patience.unique("gone");
        SimpMessageHeaderAccessor headers = SimpMessageHeaderAccessor.create();
        headers.setNativeHeader("simpOrigDestination", "/user/queue/news");
        TEMPLATE.convertAndSend("/queue/" + gone, "lost", headers.getMessageHeaders());
        theApplicationStillPublishes();
        assertEquals(Optional.empty(), Broker.queue(gone));
    }

    private void theApplicationStillPublishes() {
        try (Talker ann = browser()) {
            Inbox inbox = ann.subscribe(room);
            TEMPLATE.convertAndSend(room, "still here");
            assertEquals("still here", inbox.next().text());
        }
    }

    @Test
    void badSendOfTheApplicationDoesNotStopIt() {
        TEMPLATE.convertAndSend("/topicless", "no such destination");
        theApplicationStillPublishes();
    }

    @Test
    void userOfAnotherInstanceIsReached() {
        String other = Patience.unique("other");
        try (Talker bob = elsewhere(other)) {
            Inbox inbox = bob.subscribe("/user/queue/news");
            TEMPLATE.convertAndSendToUser(other, "/queue/news", "for bob");
            assertEquals("for bob", inbox.next().text());
        }
    }

    @Test
    void usersOfAllInstancesAreKnown() {
        String other = Patience.unique("other");
        SimpUserRegistry registry = Applications.FIRST.bean(SimpUserRegistry.class);
        try (Talker bob = elsewhere(other)) {
            Inbox inbox = bob.subscribe("/user/queue/news");
            Patience.until("the other instance's user", () -> registry.getUser(other) != null);
            TEMPLATE.convertAndSendToUser(other, "/queue/news", "for bob");
            assertEquals("for bob", inbox.next().text());
        }
        Patience.until("the other instance's user to be gone", () -> registry.getUser(other) == null);
    }

    @Test
    void queueIsSharedAndAcknowledgedThroughTheRelay() {
        String destination = "/queue/" + Patience.unique("work");
        try (Talker ann = browser(); Talker bob = elsewhere("bob")) {
            Inbox first = ann.subscribe(oneByOne(destination));
            Inbox second = bob.subscribe(oneByOne(destination));
            List.of("1", "2", "3").forEach(text -> TEMPLATE.convertAndSend(destination, text));
            Heard one = first.next();
            Heard two = second.next();
            assertNotEquals(one.text(), two.text());
            ann.acknowledge(one);
            assertEquals("3", first.next().text());
        }
    }

    private static StompHeaders oneByOne(String destination) {
        StompHeaders headers = Talker.to(destination);
        headers.setAck("client-individual");
        headers.set("prefetch-count", "1");
        return headers;
    }

    @Test
    void errorReachesTheBrowserAndEndsItsConnection() {
        try (Talker ann = browser()) {
            ann.session().acknowledge("T_0@@session-unknown@@1", true);
            assertEquals("Subscription not found", ann.nextError().headers().getFirst("message"));
            assertInstanceOf(ConnectionLostException.class, ann.end());
        }
    }

    @Test
    void browserThatVanishesLeavesNoConsumer() {
        String destination = "/queue/" + Patience.unique("work");
        try (Talker ann = browser()) {
            ann.subscribe(destination);
        }
        String queue = destination.substring("/queue/".length());
        Patience.until("the consumer to be gone", () -> Broker.queue(queue).map(q -> q.path("consumers").asInt(-1)).orElse(-1) == 0);
    }

    // Each is one connection of the relay, all from one address and one account.
    @Test
    void hundredBrowsersShareARoom() {
        List<Talker> browsers = IntStream.range(0, 100).mapToObj(i -> browser()).toList();
        List<Inbox> inboxes = browsers.stream().map(browser -> browser.subscribe(room)).toList();
        TEMPLATE.convertAndSend(room, "news");
        inboxes.forEach(inbox -> assertEquals("news", inbox.next().text()));
        browsers.forEach(Talker::close);
    }

    @Test
    void largeMessageOfTheApplicationArrives() {
        String text = "日本語🎉".repeat(20_000);
        try (Talker ann = browser()) {
            Inbox inbox = ann.subscribe(room);
            TEMPLATE.convertAndSend(room, text);
            assertEquals(text, inbox.next().text());
        }
    }

    @Test
    @OnlyStompgate
    void roomsMayHaveSlashes() {
        String destination = room + "/with/slashes";
        try (Talker ann = browser()) {
            Inbox inbox = ann.subscribe(destination);
            TEMPLATE.convertAndSend(destination, "hello");
            assertEquals(destination, inbox.next().headers().getDestination());
        }
    }
}
