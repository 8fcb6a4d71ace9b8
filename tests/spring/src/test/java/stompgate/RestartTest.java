package stompgate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.springframework.messaging.MessageDeliveryException;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.messaging.simp.stomp.ConnectionLostException;
import org.springframework.messaging.simp.stomp.StompHeaders;
import stompgate.Talker.Inbox;
import stompgate.chat.Availability;

/** The second application's server is ended and started again under it. */
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
        Inbox inbox = browser.subscribe("/user/queue/news");
        SimpMessagingTemplate first = Applications.FIRST.bean(SimpMessagingTemplate.class);
        Patience.until("the other instance's message", () -> {
            first.convertAndSendToUser(user, "/queue/news", "for the user of the other");
            return !inbox.frames().isEmpty();
        });
    }
}
