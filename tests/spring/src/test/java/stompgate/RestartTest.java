package stompgate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.springframework.messaging.MessageDeliveryException;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.messaging.simp.stomp.ConnectionLostException;
import org.springframework.messaging.simp.stomp.StompHeaders;
import stompgate.Talker.Inbox;
import stompgate.chat.Availability;
import stompgate.chat.ChatServer;

/** What the applications stand on is ended and started again under them. */
class RestartTest {
    private final String user = Patience.unique("user");
    private final String room = "/topic/" + Patience.unique("room.");
    private boolean isStopped;

    @AfterEach
    void startIfATestFailedToDo() {
        if (isStopped) {
            start();
        }
    }

    private void stop() {
        Target.stopSecond();
        isStopped = true;
    }

    private void start() {
        Target.startSecond();
        isStopped = false;
        Applications.awaitBroker(Applications.FIRST);
        Applications.awaitBroker(Applications.SECOND);
    }

    @Test
    void applicationGoesOnWhenItsServerIsBack() {
        SimpMessagingTemplate template = Applications.SECOND.bean(SimpMessagingTemplate.class);
        Talker before = Applications.browser(Applications.SECOND, user);
        before.subscribe(room);
        stop();
        before.nextError();
        assertInstanceOf(ConnectionLostException.class, before.end());
        Availability availability = Applications.SECOND.bean(Availability.class);
        Patience.until("the application to know", () -> !availability.isAvailable());
        assertThrows(MessageDeliveryException.class, () -> template.convertAndSend(room, "nobody takes it"));
        browsersAreToldWhy();
        start();
        try (Talker after = Applications.browser(Applications.SECOND, user)) {
            Inbox inbox = after.subscribe(room);
            template.convertAndSend(room, "back");
            assertEquals("back", inbox.next().text());
            theInstancesHearOfEachOther(after);
        }
    }

    private void browsersAreToldWhy() {
        Talker refused = Talker.begin(Applications.door(Applications.SECOND, user), new StompHeaders());
        assertEquals("Broker not available.", refused.nextError().headers().getFirst("message"));
    }

    // What the applications subscribed for themselves is subscribed again, some time after they are connected.
    private void theInstancesHearOfEachOther(Talker browser) {
        hearsInTheEnd(browser.subscribe("/user/queue/news"), Applications.FIRST);
    }

    private void hearsInTheEnd(Inbox inbox, ChatServer from) {
        SimpMessagingTemplate template = from.bean(SimpMessagingTemplate.class);
        Patience.until("a message for the user", () -> {
            template.convertAndSendToUser(user, "/queue/news", "news");
            return !inbox.frames().isEmpty();
        });
    }

    @Test
    @OnlyStompgate
    void nobodyIsDisconnectedWhenRabbitRestarts() {
        Availability availability = Applications.SECOND.bean(Availability.class);
        SimpMessagingTemplate template = Applications.SECOND.bean(SimpMessagingTemplate.class);
        long losses = availability.losses();
        try (Talker ann = Applications.browser(Applications.SECOND, user)) {
            Inbox inbox = ann.subscribe(room);
            Inbox news = ann.subscribe("/user/queue/news");
            Target.restartBroker();
            Patience.until("a message in the room", () -> {
                template.convertAndSend(room, "back");
                return !inbox.frames().isEmpty();
            });
            hearsInTheEnd(news, Applications.SECOND);
            assertFalse(ann.lost.isDone());
        }
        assertEquals(losses, availability.losses());
    }
}
