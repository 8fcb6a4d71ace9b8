package stompgate;

import jakarta.websocket.ContainerProvider;
import jakarta.websocket.WebSocketContainer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import org.springframework.messaging.converter.ByteArrayMessageConverter;
import org.springframework.messaging.converter.CompositeMessageConverter;
import org.springframework.messaging.converter.MappingJackson2MessageConverter;
import org.springframework.messaging.converter.StringMessageConverter;
import org.springframework.messaging.simp.stomp.ReactorNettyTcpStompClient;
import org.springframework.messaging.simp.stomp.StompClientSupport;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSession;
import org.springframework.messaging.simp.stomp.StompSessionHandler;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.socket.WebSocketHttpHeaders;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.messaging.WebSocketStompClient;

/** One of Spring's STOMP clients and where it leads. */
abstract class Door implements AutoCloseable {
    private static final int LARGE = 4 << 20;
    private static final ThreadPoolTaskScheduler SCHEDULER = scheduler();

    abstract StompClientSupport client();

    abstract CompletableFuture<StompSession> open(StompHeaders headers, StompSessionHandler handler);

    @Override
    public abstract void close();

    private static ThreadPoolTaskScheduler scheduler() {
        ThreadPoolTaskScheduler scheduler = new ThreadPoolTaskScheduler();
        scheduler.setPoolSize(2);
        scheduler.setDaemon(true);
        scheduler.initialize();
        return scheduler;
    }

    // The order in which Spring's own applications have them.
    private static void prepare(StompClientSupport client) {
        client.setTaskScheduler(SCHEDULER);
        client.setMessageConverter(new CompositeMessageConverter(
                List.of(new StringMessageConverter(), new ByteArrayMessageConverter(), new MappingJackson2MessageConverter())));
    }

    static Door webSocket(URI uri) {
        return webSocket(uri, client -> { });
    }

    static Door webSocket(URI uri, Consumer<WebSocketStompClient> settings) {
        WebSocketContainer container = ContainerProvider.getWebSocketContainer();
        container.setDefaultMaxTextMessageBufferSize(LARGE);
        container.setDefaultMaxBinaryMessageBufferSize(LARGE);
        WebSocketStompClient client = new WebSocketStompClient(new StandardWebSocketClient(container));
        client.setInboundMessageSizeLimit(LARGE);
        prepare(client);
        settings.accept(client);
        client.start();
        return new Door() {
            @Override
            StompClientSupport client() {
                return client;
            }

            @Override
            CompletableFuture<StompSession> open(StompHeaders headers, StompSessionHandler handler) {
                return client.connectAsync(uri, new WebSocketHttpHeaders(), headers, handler);
            }

            @Override
            public void close() {
                client.stop();
            }
        };
    }

    static Door tcp(InetSocketAddress address) {
        ReactorNettyTcpStompClient client = new ReactorNettyTcpStompClient(address.getHostString(), address.getPort());
        prepare(client);
        return new Door() {
            @Override
            StompClientSupport client() {
                return client;
            }

            @Override
            CompletableFuture<StompSession> open(StompHeaders headers, StompSessionHandler handler) {
                return client.connectAsync(headers, handler);
            }

            @Override
            public void close() {
                client.shutdown();
            }
        };
    }
}
