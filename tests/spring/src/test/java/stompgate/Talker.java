package stompgate;

import java.lang.reflect.Type;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.springframework.messaging.MessageDeliveryException;
import org.springframework.messaging.simp.stomp.StompCommand;
import org.springframework.messaging.simp.stomp.StompFrameHandler;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSession;
import org.springframework.messaging.simp.stomp.StompSession.Receiptable;
import org.springframework.messaging.simp.stomp.StompSessionHandler;

/** One session of one of Spring's clients, and all that it was told. */
final class Talker implements StompSessionHandler, AutoCloseable {
    /** A frame that came. */
    record Heard(StompHeaders headers, Object payload) {
        String text() {
            return (String) payload;
        }
    }

    /** A subscription, and what it got that nobody asked for yet. */
    record Inbox(StompSession.Subscription subscription, BlockingQueue<Heard> frames) {
        Heard next() {
            return Patience.next("a message of " + subscription.getSubscriptionHeaders().getDestination(), frames);
        }
    }

    final CompletableFuture<StompHeaders> connected = new CompletableFuture<>();
    final CompletableFuture<Throwable> lost = new CompletableFuture<>();
    final BlockingQueue<Heard> errors = new LinkedBlockingQueue<>();
    final CompletableFuture<StompSession> opened;
    private StompSession session;
    private int receipts;

    private Talker(Door door, StompHeaders headers) {
        opened = door.open(headers, this);
    }

    static StompHeaders account() {
        StompHeaders headers = new StompHeaders();
        headers.setLogin(Target.LOGIN);
        headers.setPasscode(Target.PASSCODE);
        return headers;
    }

    static Talker connect(Door door) {
        return connect(door, account());
    }

    static Talker connect(Door door, StompHeaders headers) {
        Talker talker = begin(door, headers);
        talker.session = Patience.done("the session", talker.opened);
        return talker;
    }

    /** Does not wait for CONNECTED, which may never come. */
    static Talker begin(Door door, StompHeaders headers) {
        return new Talker(door, headers);
    }

    StompSession session() {
        return session;
    }

    static StompHeaders to(String destination) {
        StompHeaders headers = new StompHeaders();
        headers.setDestination(destination);
        return headers;
    }

    private void receipted(StompHeaders headers) {
        headers.setReceipt("receipt-" + ++receipts);
    }

    /** Waits until the server has said RECEIPT. */
    void await(Receiptable receiptable) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        receiptable.addReceiptTask(() -> done.complete(null));
        receiptable.addReceiptLostTask(() -> done.completeExceptionally(new AssertionError("Spring gave the receipt up for lost")));
        Patience.done("the receipt " + receiptable.getReceiptId(), done);
    }

    /** SENDs, and waits for the receipt. */
    void send(String destination, Object payload) {
        send(to(destination), payload);
    }

    void send(StompHeaders headers, Object payload) {
        receipted(headers);
        await(session.send(headers, payload));
    }

    Inbox subscribe(String destination) {
        return subscribe(to(destination));
    }

    /** SUBSCRIBEs, and waits for the receipt. */
    Inbox subscribe(StompHeaders headers) {
        return subscribe(headers, String.class);
    }

    Inbox subscribe(StompHeaders headers, Type payload) {
        receipted(headers);
        Inbox inbox = listen(headers, payload);
        await(inbox.subscription());
        return inbox;
    }

    /** SUBSCRIBEs without a receipt: what an application answers itself gets none. */
    Inbox listen(StompHeaders headers, Type payload) {
        BlockingQueue<Heard> frames = new LinkedBlockingQueue<>();
        return new Inbox(session.subscribe(headers, into(frames, payload)), frames);
    }

    private static StompFrameHandler into(BlockingQueue<Heard> frames, Type type) {
        return new StompFrameHandler() {
            @Override
            public Type getPayloadType(StompHeaders headers) {
                return type;
            }

            @Override
            public void handleFrame(StompHeaders headers, Object payload) {
                frames.add(new Heard(headers, payload));
            }
        };
    }

    void acknowledge(Heard message) {
        acknowledge(message, true);
    }

    /** ACK or NACK as users of Spring write it: by the message's id, in 1.1 and in 1.2. */
    void acknowledge(Heard message, boolean isConsumed) {
        StompHeaders headers = new StompHeaders();
        boolean isOld = "1.1".equals(Patience.done("CONNECTED", connected).getFirst("version"));
        headers.set(isOld ? StompHeaders.MESSAGE_ID : StompHeaders.ID, message.headers().getMessageId());
        receipted(headers);
        await(session.acknowledge(headers, isConsumed));
    }

    Heard nextError() {
        return Patience.next("an ERROR", errors);
    }

    Throwable end() {
        return Patience.done("the end of the connection", lost);
    }

    /** Is the connection there for as long as this? */
    boolean lasts(long ms) {
        try {
            lost.get(ms, TimeUnit.MILLISECONDS);
            return false;
        } catch (TimeoutException error) {
            return true;
        } catch (InterruptedException | ExecutionException error) {
            throw new IllegalStateException(error);
        }
    }

    /** DISCONNECT. */
    @Override
    public void close() {
        try {
            if (session.isConnected()) {
                session.disconnect();
            }
        } catch (MessageDeliveryException error) {
            // the server closed in this very moment, as it does behind an ERROR
        }
    }

    @Override
    public void afterConnected(StompSession session, StompHeaders headers) {
        connected.complete(headers);
    }

    @Override
    public void handleException(StompSession session, StompCommand command, StompHeaders headers, byte[] payload, Throwable error) {
        errors.add(new Heard(headers, "Spring could not read " + command + ": " + error));
    }

    @Override
    public void handleTransportError(StompSession session, Throwable error) {
        lost.complete(error);
    }

    @Override
    public Type getPayloadType(StompHeaders headers) {
        return byte[].class;
    }

    // Only ERROR comes here.
    @Override
    public void handleFrame(StompHeaders headers, Object payload) {
        errors.add(new Heard(headers, payload == null ? "" : new String((byte[]) payload, java.nio.charset.StandardCharsets.UTF_8)));
    }
}
