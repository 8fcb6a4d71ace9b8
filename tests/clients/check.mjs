// The main job without a person: scripts/run --check starts everything and then this. One line per step; exit 0 or 1.
//
// Two @stomp/stompjs clients on different gateways talk in one room of this run's own, share a queue and answer each other, a plain
// AMQP application joins in, every message must stand in PostgreSQL exactly once, and a restart of RabbitMQ must cost nobody the
// connection.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client } from '@stomp/stompjs';
import amqplib from 'amqplib';
import pg from 'pg';
import { WebSocket } from 'ws';

const EACH = 1000;
const env = process.env;
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const room = `check-${Date.now().toString(36)}${randomBytes(2).toString('hex')}`;
const destination = `/topic/${room}`;

Object.assign(globalThis, { WebSocket });

async function waitFor(what, predicate, timeout = 30000) {
    const end = Date.now() + timeout;
    let seen;
    while (!(seen = await predicate())) {
        if (Date.now() > end) {
            throw new Error(`waited ${timeout / 1000} s in vain for ${what}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return seen;
}

function expect(holds, what) {
    if (!holds) {
        throw new Error(what);
    }
}

// ---- the clients -----------------------------------------------------------------------------------------------------

class Talker {
    constructor(name, port) {
        this.name = name;
        this.heard = []; // bodies in order of arrival
        this.closes = 0;
        this.errors = [];
        this.client = new Client({
            brokerURL: `ws://127.0.0.1:${port}/ws`,
            reconnectDelay: 0,
            onStompError: (frame) => this.errors.push(`${frame.headers.message}: ${frame.body}`),
            onWebSocketClose: () => this.closes++,
        });
    }

    async open() {
        const connected = new Promise((resolve) => (this.client.onConnect = resolve));
        this.client.activate();
        await waitFor(`${this.name} to connect`, () => Promise.race([connected.then(() => true), this.trouble()]));
        const receipt = `sub-${this.name}`;
        const subscribed = new Promise((resolve) => this.client.watchForReceipt(receipt, resolve));
        this.client.subscribe(destination, (message) => this.heard.push(message.body), { receipt });
        await waitFor(`${this.name} to subscribe`, () => Promise.race([subscribed.then(() => true), this.trouble()]));
    }

    trouble() {
        expect(this.errors.length === 0, `${this.name} got ERROR: ${this.errors[0]}`);
        expect(this.closes === 0, `${this.name} was disconnected`);
        return new Promise((resolve) => setTimeout(resolve, 20, false));
    }

    say(from, to) {
        for (let n = from; n < to; n++) {
            this.client.publish({ destination, body: `${this.name} ${n}` });
        }
    }

    // The numbers heard of one sender, in order of arrival.
    heardOf(name) {
        return this.heard.filter((body) => body.startsWith(`${name} `)).map((body) => Number(body.slice(name.length + 1)));
    }
}

async function heardAll(listeners, speakers, from, to) {
    for (const listener of listeners) {
        for (const speaker of speakers) {
            const what = `${listener.name} to hear ${to - from} messages of ${speaker.name}`;
            await waitFor(what, async () => {
                await listener.trouble();
                return listener.heardOf(speaker.name).length >= to - from;
            });
            const numbers = listener.heardOf(speaker.name);
            expect(numbers.length === to - from, `${listener.name} heard ${numbers.length} instead of ${to - from}: duplicates`);
            const wrong = numbers.findIndex((number, index) => number !== from + index);
            expect(wrong < 0, `${listener.name} heard ${speaker.name} ${numbers[wrong]} in place of ${from + wrong}: out of order`);
        }
        listener.heard = [];
    }
}

// ---- the steps -------------------------------------------------------------------------------------------------------

const ann = new Talker('ann', env.SG_GATEWAY_1_PORT);
const bob = new Talker('bob', env.SG_GATEWAY_2_PORT);
const both = [ann, bob];
const database = new pg.Client({ connectionString: env.SG_PG_URL });

async function connect() {
    await database.connect();
    await Promise.all(both.map((talker) => talker.open()));
    return `two clients connected to two gateways (ports ${env.SG_GATEWAY_1_PORT}, ${env.SG_GATEWAY_2_PORT}), both in ${destination}`;
}

async function talk() {
    const began = Date.now();
    both.forEach((talker) => talker.say(0, EACH));
    await heardAll(both, both, 0, EACH);
    return `${EACH} messages each way: all arrived at both, in order, none twice (${Date.now() - began} ms)`;
}

// Both take from one queue and answer what asks for it.
async function shareQueue() {
    const queue = `/queue/${room}`;
    const taken = both.map(() => []);
    const answers = [];
    ann.client.onUnhandledMessage = (message) => answers.push(message.body);
    for (const [i, { name, client }] of both.entries()) {
        const receipt = `queue-${name}`;
        let stands = false;
        client.watchForReceipt(receipt, () => (stands = true));
        const take = (message) => {
            taken[i].push(message.body);
            message.ack();
            if (message.headers['reply-to']) {
                client.publish({ destination: message.headers['reply-to'], body: `to ${message.body}` });
            }
        };
        client.subscribe(queue, take, { receipt, ack: 'client-individual', 'prefetch-count': '10', 'auto-delete': 'true' });
        await waitFor(`${name} to subscribe to ${queue}`, () => stands || both[i].trouble());
    }
    const bodies = Array.from({ length: 200 }, (_, n) => `${n}`);
    bodies.forEach((body) => ann.client.publish({ destination: queue, body, headers: { 'reply-to': '/temp-queue/answers' } }));
    await waitFor('200 answers', async () => answers.length >= bodies.length || ann.trouble());
    const sorted = (list) => [...list].sort().join();
    expect(sorted(taken.flat()) === sorted(bodies), `${taken.flat().length} messages were taken instead of each once`);
    expect(sorted(answers) === sorted(bodies.map((body) => `to ${body}`)), 'not each question was answered once');
    expect(taken.every((share) => share.length > 0), 'one of the two got nothing');
    return `a queue shared between both gateways: 200 questions taken once (${taken.map((share) => share.length).join(' and ')}) and answered`;
}

async function publishPlainly() {
    const connection = await amqplib.connect(env.SG_AMQP_URL);
    const channel = await connection.createConfirmChannel();
    channel.publish('amq.topic', room, Buffer.from('app 0'), { persistent: true, contentType: 'text/plain' });
    await channel.waitForConfirms();
    await connection.close();
    await heardAll(both, [{ name: 'app' }], 0, 1);
    return 'the message of a plain AMQP application reached both';
}

async function countRows() {
    const { rows } = await database.query(
        `SELECT count(*)::int AS all, count(DISTINCT convert_from(body, 'UTF8'))::int AS bodies FROM message WHERE routing_key = $1`,
        [room],
    );
    return rows[0];
}

async function stored() {
    const due = 2 * EACH + 1;
    await waitFor(`${due} rows in PostgreSQL`, async () => (await countRows()).all >= due);
    const { all, bodies } = await countRows();
    expect(all === due && bodies === due, `${all} rows with ${bodies} different bodies instead of ${due}`);
    return `${all} rows in PostgreSQL, each message exactly once`;
}

async function rowsOf(port) {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return Number(/^stompgate_store_rows_total(?:\{.*\})? (\d+)/m.exec(text)?.[1] ?? 0);
}

async function bothWorked() {
    const rows = await Promise.all([env.SG_STORE_1_PORT, env.SG_STORE_2_PORT].map(rowsOf));
    expect(rows.every((count) => count > 0), `one of the workers wrote nothing: ${rows.join(' and ')} rows`);
    return `both storage workers took part (${rows.join(' and ')} rows)`;
}

async function restartBroker() {
    const services = (action) => promisify(execFile)(path.join(root, 'scripts/services'), [action, env.SG_DIR]);
    await services('stop-rabbit');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    both.forEach((talker) => expect(talker.closes === 0, `${talker.name} was disconnected while RabbitMQ was away`));
    await services('start-rabbit');
    for (const port of [env.SG_GATEWAY_1_PORT, env.SG_GATEWAY_2_PORT]) {
        const ready = async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok;
        await waitFor(`the gateway on port ${port} to find RabbitMQ again`, ready);
    }
    await Promise.all(both.map((talker) => talker.trouble()));
    return 'RabbitMQ was stopped and started: both clients are still connected';
}

async function goOn() {
    both.forEach((talker) => talker.say(EACH, EACH + 100));
    await heardAll(both, both, EACH, EACH + 100);
    const due = 2 * EACH + 1 + 200;
    await waitFor(`${due} rows in PostgreSQL`, async () => (await countRows()).all >= due);
    return '100 more messages each way: all arrived and were stored';
}

let step = 'start';
const watchdog = setTimeout(() => {
    console.log(`FAIL ${step}: no end after 5 minutes`);
    process.exit(1);
}, 300000);
try {
    for (const run of [connect, talk, shareQueue, publishPlainly, stored, bothWorked, restartBroker, goOn]) {
        step = run.name;
        console.log(`ok   ${await run()}`);
    }
    console.log('ok   the main job works');
} catch (error) {
    console.log(`FAIL ${step}: ${error.message}`);
    process.exitCode = 1;
}
clearTimeout(watchdog);
await Promise.allSettled([...both.map((talker) => talker.client.deactivate({ force: true })), database.end()]);
process.exit();
