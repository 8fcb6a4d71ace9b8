// The scenes that BrowserTest plays: @stomp/stompjs, which browsers run, in front of the Spring application.
//
//     node browser.mjs SCENE FIRST SECOND          host:port of the two instances
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { Client } from '@stomp/stompjs';
import { WebSocket } from 'ws';
import { waitFor } from '../lib/harness.mjs';

const [scene, first, second] = process.argv.slice(2);
const name = `user${process.pid}`;
const room = `/topic/room.${process.pid}`;

function address(instance, user = name) {
    return `ws://${instance}/chat?user=${user}`;
}

// A connected client; `heard` has the ERROR frames and the closes.
async function open(instance, user, settings = {}) {
    const client = new Client({
        webSocketFactory: () => new WebSocket(address(instance, user), ['v12.stomp', 'v11.stomp', 'v10.stomp']),
        reconnectDelay: 0,
        ...settings,
    });
    client.errors = [];
    client.closes = [];
    client.onStompError = (frame) => client.errors.push(frame);
    client.onWebSocketClose = (event) => client.closes.push(event);
    const connected = new Promise((resolve) => (client.onConnect = resolve));
    client.activate();
    client.welcome = await connected;
    return client;
}

let receipts = 0;

function receipt(client) {
    const id = `r${++receipts}`;
    return [{ receipt: id }, new Promise((resolve) => client.watchForReceipt(id, resolve))];
}

// What comes, once the RECEIPT is there.
async function subscribe(client, destination, headers = {}) {
    const messages = [];
    const [wanted, got] = receipt(client);
    const subscription = client.subscribe(destination, (message) => messages.push(message), { ...headers, ...wanted });
    await got;
    return { messages, subscription, next: () => waitFor(() => messages.shift(), { what: `a message of ${destination}` }) };
}

async function publish(client, frame) {
    const [wanted, got] = receipt(client);
    client.publish({ ...frame, headers: { ...frame.headers, ...wanted } });
    await got;
}

const scenes = {
    async room() {
        const [ann, bob] = await Promise.all([open(first), open(second, 'bob')]);
        const [here, there] = await Promise.all([subscribe(ann, room), subscribe(bob, room)]);
        await publish(ann, { destination: room, body: 'ça va? 🎉', headers: { colour: 'a:b\\ c\nd' } });
        for (const inbox of [here, there]) {
            const message = await inbox.next();
            assert.equal(message.body, 'ça va? 🎉');
            assert.equal(message.headers.destination, room);
            assert.equal(message.headers.colour, 'a:b\\ c\nd');
        }
        const hall = await subscribe(bob, `/topic/room.hall${process.pid}`);
        ann.publish({ destination: `/app/say/hall${process.pid}`, body: 'hello' });
        assert.equal((await hall.next()).body, `${name}: hello`);
        await Promise.all([ann.deactivate(), bob.deactivate()]);
    },

    async user() {
        const [desk, phone, other] = await Promise.all([open(first), open(second), open(first, 'other')]);
        const inboxes = await Promise.all([desk, phone, other].map((client) => subscribe(client, '/user/queue/answers')));
        desk.publish({ destination: '/app/whisper', body: '1' });
        assert.equal((await inboxes[0].next()).body, 'whispered 1');
        other.publish({ destination: '/app/whisper', body: '2' });
        assert.equal((await inboxes[2].next()).body, 'whispered 2');
        phone.publish({ destination: '/app/whisper', body: '3' });
        assert.equal((await inboxes[1].next()).body, 'whispered 3');
        await Promise.all([desk, phone, other].map((client) => client.deactivate()));
    },

    async acks() {
        const queue = `/queue/work${process.pid}`;
        const ann = await open(first);
        const inbox = await subscribe(ann, queue, { ack: 'client-individual', 'prefetch-count': '1' });
        await publish(ann, { destination: queue, body: '1' });
        await publish(ann, { destination: queue, body: '2' });
        const one = await inbox.next();
        assert.deepEqual([one.body, inbox.messages.length], ['1', 0]);
        one.nack();
        const again = await inbox.next();
        assert.deepEqual([again.body, again.headers.redelivered], ['1', 'true']);
        again.ack();
        const two = await inbox.next();
        assert.equal(two.body, '2');
        two.ack();
        await ann.deactivate();
    },

    async transaction() {
        const ann = await open(first);
        const inbox = await subscribe(ann, room);
        const dropped = ann.begin();
        ann.publish({ destination: room, body: 'dropped', headers: { transaction: dropped.id } });
        dropped.abort();
        const kept = ann.begin();
        ann.publish({ destination: room, body: 'kept', headers: { transaction: kept.id } });
        kept.commit();
        assert.equal((await inbox.next()).body, 'kept');
        await ann.deactivate();
    },

    async error() {
        const ann = await open(first);
        ann.ack('T_0@@session-unknown@@1', '0');
        await waitFor(() => ann.errors.length > 0 && ann.closes.length > 0, { what: 'ERROR and the close behind it' });
        assert.equal(ann.errors[0].headers.message, 'Subscription not found');
    },

    async heartbeats() {
        const ann = await open(first, name, { heartbeatIncoming: 1000, heartbeatOutgoing: 1000 });
        assert.equal(ann.welcome.headers['heart-beat'].split(',').length, 2);
        // stompjs closes after two intervals of silence
        const inbox = await subscribe(ann, room);
        await assert.rejects(waitFor(() => ann.closes.length > 0, { timeout: 3500 }));
        await publish(ann, { destination: room, body: 'still here' });
        assert.equal((await inbox.next()).body, 'still here');
        await ann.deactivate();
    },

    // DISCONNECT with a receipt, which stompjs waits for without end.
    async leaving() {
        const ann = await open(first);
        const inbox = await subscribe(ann, room);
        ann.publish({ destination: room, body: 'last words' });
        await inbox.next();
        await ann.deactivate();
        assert.equal(ann.closes.length, 1);
        // the plugin closes behind its RECEIPT, which Spring tells the browser as an ERROR
        if (process.env.STOMPGATE_SPRING_SERVER === 'stompgate') {
            assert.deepEqual(ann.errors, []);
        }
    },

    // No accept-version and no other header: STOMP 1.0.
    async bare() {
        const socket = new WebSocket(address(first));
        const frames = [];
        socket.on('message', (data) => frames.push(String(data)));
        await once(socket, 'open');
        socket.send('CONNECT\n\n\0');
        await waitFor(() => frames.some((frame) => frame.startsWith('CONNECTED\n')), { what: 'CONNECTED' });
        socket.close();
    },

    async chromium() {
        const { chromium } = await import('playwright-core');
        const executablePath = process.env.STOMPGATE_CHROMIUM ?? '/usr/bin/chromium';
        const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
        try {
            const page = await browser.newPage();
            await page.goto(`http://${first}/`);
            await page.addScriptTag({ path: createRequire(import.meta.url).resolve('@stomp/stompjs') });
            assert.deepEqual(await page.evaluate(inPage, [address(first), room]), ['room ça va? 🎉', 'answer to why']);
        } finally {
            await browser.close();
        }
    },
};

// Runs in the page: says something in a room and asks the application something, and gives what it heard.
function inPage([brokerURL, destination]) {
    return new Promise((resolve, reject) => {
        const heard = [];
        const client = new StompJs.Client({ brokerURL, reconnectDelay: 0 });
        function hear(message) {
            heard.push(message.body);
            if (heard.length === 2) {
                resolve(heard.sort().reverse());
                client.deactivate();
            }
        }
        client.onConnect = () => {
            client.watchForReceipt('1', () => client.publish({ destination, body: 'room ça va? 🎉' }));
            client.watchForReceipt('2', () => client.publish({ destination: '/app/ask', body: 'why' }));
            client.subscribe(destination, hear, { receipt: '1' });
            client.subscribe('/user/queue/answers', hear, { receipt: '2' });
        };
        client.onStompError = (frame) => reject(new Error(frame.headers.message));
        client.onWebSocketClose = () => reject(new Error('closed'));
        client.activate();
    });
}

await scenes[scene]();
process.exit(0); // whatever is still open
