package stompgate;

import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;

/** Waiting, never for longer than the deadline; what did not come is named. */
final class Patience {
    static final Duration DEADLINE = Duration.ofSeconds(20);
    private static final long POLL_MS = 20;
    private static long names = System.currentTimeMillis();

    private Patience() {
    }

    static void until(String what, BooleanSupplier condition) {
        long end = System.nanoTime() + DEADLINE.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("waited in vain for: " + what);
            }
            pause(POLL_MS);
        }
    }

    static <T> T next(String what, BlockingQueue<T> queue) {
        try {
            T value = queue.poll(DEADLINE.toMillis(), TimeUnit.MILLISECONDS);
            if (value == null) {
                throw new AssertionError("waited in vain for: " + what);
            }
            return value;
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    static <T> T done(String what, Future<T> future) {
        try {
            return future.get(DEADLINE.toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException error) {
            throw new AssertionError("waited in vain for: " + what);
        } catch (ExecutionException error) {
            throw new AssertionError(what + ": " + error.getCause(), error.getCause());
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    /** A name that nobody else has, of one word. */
    static synchronized String unique(String prefix) {
        return prefix + Long.toString(names++, 36);
    }
}
