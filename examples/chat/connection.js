// The STOMP side of the page: one @stomp/stompjs client, a subscription per room, and an outbox.
//
// A message stays in the outbox until its RECEIPT. When the connection goes first, nobody knows whether it arrived: it is sent again
// after the reconnect with the same idempotency-key, and is stored once.
import { destination } from './rooms.js';

const RECEIPT_MS = 30000; // an answer later than this counts as none
const OVERDUE_MS = 2000; // later than this: ask whether the server can do its work
const ATTEMPTS = 3;

// Callbacks:
//   onState(state, { since, problem })  state: connecting, connected, waiting (connected, but messages are held up), offline
//   onMessage(room, frame)
//   onJoined(room)            the subscription stands, also again after a reconnect
//   onRefused(room, reason)   it never will
//   onSettled(key, problem)   a message was confirmed (problem null), or will not be
export class Connection {
    constructor(url, callbacks) {
        this.callbacks = callbacks;
        this.rooms = new Map(); // key → { subscription, isRefused }
        this.outbox = new Map(); // idempotency key → { room, body, attempts, isSent, sentAt }
        this.state = 'connecting';
        this.since = new Date();
        this.isRetry = false;
        const { Client, ReconnectionTimeMode } = globalThis.StompJs;
        this.client = new Client({
            brokerURL: url,
            connectionTimeout: 10000,
            reconnectDelay: 1000,
            reconnectTimeMode: ReconnectionTimeMode.EXPONENTIAL,
            maxReconnectDelay: 15000,
            heartbeatIncoming: 10000,
            heartbeatOutgoing: 10000,
            // after a restart of the server its clients must not all come back in the same moment
            beforeConnect: () => this.isRetry && new Promise((resolve) => setTimeout(resolve, Math.random() * 1000)),
            onConnect: () => this.#connected(),
            onStompError: (frame) => this.#refused(frame),
            onWebSocketClose: (event) => this.#closed(event),
        });
        setInterval(() => this.#watch(), OVERDUE_MS);
    }

    open() {
        this.client.activate();
    }

    // Now, and not when the back-off says so.
    async retry() {
        if (this.state === 'offline') {
            this.isRetry = false;
            await this.client.deactivate({ force: true });
            this.client.activate();
        }
    }

    join(room) {
        if (!this.rooms.has(room)) {
            this.rooms.set(room, { subscription: null, isRefused: false });
            this.#subscribe(room);
        }
    }

    leave(room) {
        const entry = this.rooms.get(room);
        this.rooms.delete(room);
        if (entry?.subscription && this.client.connected) {
            entry.subscription.unsubscribe();
        }
    }

    // Sends, or keeps until it can be sent. The same key again is a retry of the same message.
    send(room, key, message) {
        this.outbox.set(key, { room, body: JSON.stringify(message), attempts: 0, isSent: false });
        this.#publish(key);
    }

    #setState(state, problem = null) {
        if (state !== this.state || problem) {
            this.since = state === this.state ? this.since : new Date();
            this.state = state;
            this.callbacks.onState(state, { since: this.since, problem });
        }
    }

    #connected() {
        this.isRetry = true;
        this.#setState('connected');
        for (const room of this.rooms.keys()) {
            this.#subscribe(room);
        }
        for (const key of this.outbox.keys()) {
            this.#publish(key);
        }
    }

    #closed(event) {
        this.isRetry = true;
        for (const entry of this.rooms.values()) {
            entry.subscription = null;
        }
        for (const [key, item] of this.outbox) {
            item.isSent = false;
            if (item.attempts >= ATTEMPTS) {
                this.#settle(key, 'The connection broke each time it was sent.');
            }
        }
        this.#setState('offline', event.reason || null);
    }

    #subscribe(room) {
        const entry = this.rooms.get(room);
        if (!this.client.connected || entry.isRefused) {
            return;
        }
        const receipt = `join-${room}`;
        this.client.watchForReceipt(receipt, () => this.rooms.has(room) && this.callbacks.onJoined(room));
        const take = (frame) => this.callbacks.onMessage(room, frame);
        entry.subscription = this.client.subscribe(destination(room), take, { id: `room-${room}`, receipt });
    }

    #publish(key) {
        const item = this.outbox.get(key);
        if (!this.client.connected || item.isSent) {
            return;
        }
        const receipt = `message-${key}`;
        item.attempts++;
        item.isSent = true;
        item.sentAt = Date.now();
        this.client.watchForReceipt(receipt, () => this.#settle(key, null));
        this.client.publish({
            destination: destination(item.room),
            body: item.body,
            headers: { 'content-type': 'application/json', 'idempotency-key': key, 'chat-key': key, receipt },
        });
    }

    #settle(key, problem) {
        if (this.outbox.delete(key)) {
            this.callbacks.onSettled(key, problem);
        }
    }

    // ERROR names the frame that it is about by receipt-id; the server closes behind it. What is at fault is not sent again.
    #refused(frame) {
        const receipt = frame.headers['receipt-id'] ?? '';
        const reason = (frame.body || frame.headers.message || 'refused').trim();
        if (receipt.startsWith('message-')) {
            this.#settle(receipt.slice('message-'.length), reason);
        } else if (receipt.startsWith('join-') && this.rooms.has(receipt.slice('join-'.length))) {
            this.rooms.get(receipt.slice('join-'.length)).isRefused = true;
            this.callbacks.onRefused(receipt.slice('join-'.length), reason);
        } else {
            this.#setState(this.state, reason);
        }
    }

    // The server keeps its clients connected while its broker is away, and holds their messages meanwhile. Only a receipt that is late
    // makes us ask; and the time of such an outage is no reason to give a message up.
    async #watch() {
        if (this.state === 'waiting' || (this.state === 'connected' && this.#isLate(OVERDUE_MS))) {
            const isReady = await isServerReady();
            if (this.client.connected) {
                this.#judge(isReady);
            }
        }
    }

    #isLate(limit) {
        return [...this.outbox.values()].some((item) => item.isSent && Date.now() - item.sentAt > limit);
    }

    #judge(isReady) {
        const wasWaiting = this.state === 'waiting';
        this.#setState(isReady ? 'connected' : 'waiting');
        for (const [key, item] of this.outbox) {
            if (!isReady || wasWaiting) {
                item.sentAt = Date.now();
            } else if (item.isSent && Date.now() - item.sentAt > RECEIPT_MS) {
                this.#settle(key, 'The server did not confirm it.');
            }
        }
    }
}

// When the question itself fails, the heart-beats will tell soon enough.
function isServerReady() {
    const answer = fetch('/readyz', { cache: 'no-store', signal: AbortSignal.timeout(5000) });
    return answer.then(
        (response) => response.ok,
        () => true,
    );
}
