package stompgate.chat;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.springframework.context.event.EventListener;
import org.springframework.messaging.simp.broker.BrokerAvailabilityEvent;

/** Remembers what the relay said of the broker: true when its own connection, "_system_", is up, false when it is gone. */
public class Availability {
    private final List<Boolean> said = new CopyOnWriteArrayList<>();

    @EventListener
    public void hear(BrokerAvailabilityEvent event) {
        said.add(event.isBrokerAvailable());
    }

    public boolean isAvailable() {
        return !said.isEmpty() && said.get(said.size() - 1);
    }

    /** How many times the broker was lost. */
    public long losses() {
        return said.stream().filter(available -> !available).count();
    }
}
