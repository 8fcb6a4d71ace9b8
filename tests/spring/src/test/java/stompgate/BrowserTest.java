package stompgate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What browsers run, @stomp/stompjs, in front of the application: browser.mjs has the scenes, this gives it the stage. */
class BrowserTest {
    private static final long LIMIT_S = 120;

    @BeforeEach
    void bothHaveTheirBroker() {
        Applications.awaitBroker(Applications.FIRST);
        Applications.awaitBroker(Applications.SECOND);
    }

    @ParameterizedTest
    @ValueSource(strings = {"room", "user", "acks", "transaction", "error", "heartbeats", "leaving", "bare"})
    void stompjsInNode(String scene) throws Exception {
        play(scene);
    }

    @Test
    void stompjsInChromium() throws Exception {
        play("chromium");
    }

    private static void play(String scene) throws IOException, InterruptedException {
        Path log = Files.createTempFile("browser", ".log");
        Process node = new ProcessBuilder("node", "browser.mjs", scene, Applications.FIRST.origin(), Applications.SECOND.origin())
                .redirectErrorStream(true).redirectOutput(log.toFile()).start();
        try {
            boolean hasEnded = node.waitFor(LIMIT_S, TimeUnit.SECONDS);
            String said = Files.readString(log, StandardCharsets.UTF_8);
            assertEquals("true 0", hasEnded + " " + (hasEnded ? node.exitValue() : ""), said);
        } finally {
            node.destroyForcibly();
            Files.delete(log);
        }
    }
}
