// Plays one transcript (transcript.mjs) as a client of a real gateway and its broker.
//
//     await play(transcript, gateway, { transport: 'tcp', seed: 7, amqp });       throws at the line that did not hold
//
// What differs between runs is put back before it is compared: the session's id is s1, the virtual host /, the server stompgate/test.
// Each play has room names of its own: to the first word of each destination a tag is added that no other play has. Where lengths are
// what it is about, the names stay.
import assert from 'node:assert/strict';
import { sleep, waitFor } from './harness.mjs';
import { BEAT, Peer } from './peer.mjs';

const DEADLINE_MS = 15000;
const EARLY = 0.85; // a wait is never longer than the transcript's: the gateway's clock began before ours
const HALF = 0.5; // nothing may come in the first half of a wait that something ends: the exact time is for the unit tests
const TICKS_MS = 300; // but for a gateway's ticks of its own

let plays = 0;

export function randomOf(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = Math.imul(state ^ (state >>> 15), state | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}

function countsBytes(transcript) {
    return Object.keys(transcript.settings.limits ?? {}).some((key) => /^(header|frame_before|unconfirmed_bytes|parked_bytes)/.test(key));
}

class Play {
    constructor(transcript, gateway, { transport, seed, amqp }) {
        Object.assign(this, { transcript, gateway, transport, amqp });
        this.nSyncs = 0;
        this.sentAt = 0;
        this.isSynced = true; // nothing was sent since the last answer
        this.random = seed === undefined ? undefined : randomOf(seed);
        this.tag = countsBytes(transcript) ? '' : `Zq${(plays++).toString(36)}Zq`;
        this.session = null;
        this.early = []; // receipts that came before the transcript has them
        this.isConnected = false;
        const heads = transcript.steps.filter(({ kind }) => kind === 'expect').map(({ frame }) => frame.head);
        this.hasBeats = heads.some((head) => head.startsWith('CONNECTED\n') && !/^heart-beat:0,0$/m.test(head));
        this.patience = DEADLINE_MS; // for what must come next
    }

    // ---- names ----

    #tagged(bytes) {
        if (!this.tag) {
            return bytes;
        }
        const reserved = /^(amq\.|stompgate\.|stomp\.gen-)/;
        const add = (all, prefix, word, at, whole) =>
            word.length > 200 || reserved.test(whole.slice(at + prefix.length)) ? all : `${prefix}${word}${this.tag}`;
        return bytes
            .replace(/^((?:destination|reply-to):(?:\/(?:temp-queue|(?!exchange|amq)[a-z]+)\/)?)([A-Za-z0-9_]+)/gm, add)
            .replace(/^(destination:\/exchange\/[^/\n]+\/)([A-Za-z0-9_]+)/gm, add)
            .replace(/^((?:message-)?id:Q_\/[a-z]+\/)([A-Za-z0-9_]+)/gm, add)
            .replace(/^(x-queue-name:)([A-Za-z0-9_]+)/gm, add);
    }

    // A queue's name or a key, as #tagged() has it behind its prefix.
    #taggedName(name) {
        return this.#tagged(`x-queue-name:${name}`).slice('x-queue-name:'.length);
    }

    outgoing(bytes) {
        const named = this.session ? bytes.replaceAll('@@s1@@', `@@${this.session}@@`) : bytes;
        return this.#tagged(named);
    }

    incoming(text) {
        let out = this.tag ? text.replaceAll(this.tag, '') : text;
        out = out.replaceAll(`vhost '${this.gateway.config.broker.vhost}'`, "vhost '/'");
        out = out.replace(/^Nothing was received for \d+ ms/, 'Nothing was received for N ms');
        return this.session ? out.replaceAll(this.session, 's1') : out;
    }

    wanted(frame) {
        return { head: frame.head, body: frame.body.replace(/^Nothing was received for \d+ ms/, 'Nothing was received for N ms') };
    }

    // ---- what comes ----

    async #next() {
        for (;;) {
            const item = await this.peer.next({ timeout: this.patience });
            if (item === null || item === BEAT) {
                return item;
            }
            if (item.head.startsWith('CONNECTED\n')) {
                this.session = /^session:(.*)$/m.exec(item.head)?.[1];
                assert.match(item.head, /^server:stompgate\/\d/m);
                item.head = item.head.replace(/^server:.*$/m, 'server:stompgate/test');
            }
            const frame = { head: this.incoming(item.head), body: this.incoming(item.body) };
            if (!this.#isExtraMessage(frame)) {
                return frame;
            }
        }
    }

    // Shared subscriptions hear what is sent; the transcripts leave that to the audience. And what was put back comes again.
    #isExtraMessage(frame) {
        const isExpected = ({ kind, frame: f }) => kind === 'expect' && f.head.startsWith('MESSAGE\n');
        const isAgain = /^redelivered:true$/m.test(frame.head);
        return frame.head.startsWith('MESSAGE\n') && (isAgain || !this.transcript.steps.some(isExpected));
    }

    // A RECEIPT that comes when the broker is ready, and not in the order of the frames.
    #isAsyncReceipt(frame) {
        const id = /^RECEIPT\nreceipt-id:(.*)$/.exec(frame.head)?.[1];
        return id !== undefined && this.transcript.receipts.has(id);
    }

    async #expect(frame) {
        const wanted = this.wanted(frame);
        const at = this.early.findIndex(({ head }) => head === wanted.head);
        if (at >= 0 && this.#isAsyncReceipt(wanted)) {
            this.early.splice(at, 1);
            return;
        }
        for (;;) {
            const got = await this.#next();
            if (got === BEAT && this.hasBeats) {
                continue;
            }
            const isOther = got && got !== BEAT && got.head !== wanted.head;
            if (isOther && this.#isAsyncReceipt(got)) {
                this.early.push(got);
                continue;
            }
            assert.deepEqual(got, wanted);
            this.isConnected ||= wanted.head.startsWith('CONNECTED\n');
            return;
        }
    }

    async #beat() {
        for (;;) {
            const got = await this.#next();
            if (got !== BEAT && got && this.#isAsyncReceipt(got)) {
                this.early.push(got);
                continue;
            }
            assert.deepEqual(got, BEAT);
            return;
        }
    }

    // ---- steps ----

    // Nothing may come in a wait but what is late from before it. One that something ends began when the two last heard of each other;
    // another one catches up with what the steps before it took.
    async #wait({ ms, isExpected }) {
        const began = Math.max(this.sentAt, this.peer.lastAt);
        this.dueAt = isExpected ? NaN : (this.dueAt || this.peer.lastAt) + ms * EARLY;
        const end = isExpected ? began + ms * HALF - TICKS_MS : Math.min(this.dueAt, Date.now() + ms * EARLY - 50);
        while (Date.now() < end) {
            if (this.peer.items.length > 0) {
                const got = await this.#next();
                assert.ok(got && got !== BEAT && this.#isAsyncReceipt(got), `in a silence of ${ms} ms came: ${JSON.stringify(got)}`);
                this.early.push(got);
            }
            assert.equal(this.peer.closed, null, `closed in a silence of ${ms} ms`);
            await sleep(Math.min(20, Math.max(1, end - Date.now())));
        }
        this.patience = DEADLINE_MS + ms;
    }

    async #close({ code, text }) {
        const got = this.peer.items.length > 0 || !this.peer.closed ? await this.#rest() : [];
        assert.deepEqual(got, [], 'frames before the close that the transcript does not have');
        if (this.transport === 'ws') {
            const reason = Buffer.from(text, 'latin1').toString();
            assert.deepEqual(await this.peer.waitClosed({ timeout: this.patience }), { code, reason });
        } else {
            await this.peer.waitClosed({ timeout: this.patience });
        }
    }

    async #rest() {
        const rest = [];
        for (let got = await this.#next(); got !== null; got = await this.#next()) {
            if (got !== BEAT && !this.#isAsyncReceipt(got)) {
                rest.push(got);
            }
        }
        return rest;
    }

    // When the answer is there, so is everything that was subscribed before.
    async #sync() {
        if (this.isSynced) {
            return;
        }
        const id = `sync-${this.nSyncs++}`;
        this.peer.write(`UNSUBSCRIBE\nid:live\nreceipt:${id}\n\n\0`);
        for (let got = await this.#next(); got?.head !== `RECEIPT\nreceipt-id:${id}`; got = await this.#next()) {
            if (got !== BEAT) {
                assert.ok(got && this.#isAsyncReceipt(got), `before a delivery came: ${JSON.stringify(got)}`);
                this.early.push(got);
            }
        }
        this.isSynced = true;
    }

    // A message of some AMQP application.
    async #deliver({ exchange, key, body, options }) {
        if (!this.hasLeft) {
            await this.#sync();
        } else if (exchange === '') {
            await waitFor(() => this.#countQueue(this.#taggedName(key)), { timeout: DEADLINE_MS, what: `a queue ${key}` });
        }
        const bytes = Buffer.from(body, 'latin1');
        await new Promise((resolve, reject) =>
            this.amqp.confirm.publish(exchange, this.#taggedName(key), bytes, options, (error) => (error ? reject(error) : resolve())),
        );
    }

    // Once the session has gone, what it did not acknowledge is there again, and only that.
    async #checkQueue({ name, left }) {
        const queue = this.#taggedName(name);
        let nRight = 0;
        let seen;
        try {
            await waitFor(
                async () => {
                    seen = await this.#countQueue(queue);
                    nRight = seen.consumerCount === 0 && seen.messageCount === left ? nRight + 1 : 0;
                    return nRight === 3; // not only for a moment
                },
                { timeout: DEADLINE_MS, what: `${left} messages and no consumer in ${queue}` },
            );
        } catch (error) {
            error.message += `: ${JSON.stringify(seen)}`;
            throw error;
        }
        await this.amqp.confirm.deleteQueue(queue);
    }

    // { messageCount, consumerCount }; an error when there is no such queue, which costs the channel.
    async #countQueue(queue) {
        const channel = await this.amqp.connection.createChannel();
        channel.on('error', () => {});
        const seen = await channel.checkQueue(queue);
        await channel.close();
        return seen;
    }

    // The session is alive, and has said nothing that it should not have.
    async #stillThere() {
        const { steps, owed } = this.transcript;
        const sent = steps.filter(({ kind }) => kind === 'send').map(({ bytes }) => bytes).join('');
        if (!this.isConnected || /(^|\0\n*)DISCONNECT\n/.test(sent) || !/\0[\n\r]*$/.test(sent)) {
            await sleep(100);
            assert.deepEqual(this.peer.items, []);
            return;
        }
        this.peer.write('UNSUBSCRIBE\nid:live\nreceipt:live\n\n\0');
        const missing = new Set(owed);
        this.early.forEach(({ head }) => missing.delete(head.slice('RECEIPT\nreceipt-id:'.length)));
        let isAlive = false;
        while (!isAlive || missing.size > 0) {
            const got = await this.#next();
            if (got === BEAT) {
                continue;
            }
            const id = /^RECEIPT\nreceipt-id:(.*)$/.exec(got?.head)?.[1];
            assert.ok(id === 'live' || missing.has(id), `at the end came: ${JSON.stringify(got)}`);
            isAlive ||= id === 'live';
            missing.delete(id);
        }
    }

    async #step(step) {
        switch (step.kind) {
            case 'deliver':
                return this.#deliver(step);
            case 'send':
                this.isSynced = false;
                this.sentAt = Date.now();
                this.hasLeft ||= /(^|\0\n*)DISCONNECT\n/.test(step.bytes);
                return this.peer.write(this.outgoing(step.bytes), this.random);
            case 'expect':
                return this.#expect(step.frame);
            case 'beat':
                return this.#beat();
            case 'wait':
                return this.#wait(step);
            case 'pong':
                return this.peer.pong();
            case 'drain':
                return this.gateway.signal('SIGTERM');
            case 'close':
                return this.#close(step);
        }
        throw new Error(`a step of no kind: ${step.kind}`);
    }

    async run() {
        this.dueAt = Date.now(); // when the next step is; NaN: when what is expected has come
        this.peer = await Peer.open(this.gateway, this.transport);
        try {
            for (const step of this.transcript.steps) {
                try {
                    await this.#step(step);
                } catch (error) {
                    const where = `${this.transcript.name} (${this.transport}): at ${JSON.stringify(step).slice(0, 300)}`;
                    const seen = `closed: ${JSON.stringify(this.peer.closed)}; not taken: ${JSON.stringify(this.peer.items)}`;
                    throw new Error(`${where}\n${error.message}\n${seen}`, { cause: error });
                }
            }
            if (this.transcript.steps.at(-1)?.kind !== 'close') {
                await this.#stillThere();
            }
        } finally {
            this.peer.end();
        }
        for (const queue of this.transcript.queues) {
            await this.#checkQueue(queue);
        }
    }
}

export function play(transcript, gateway, options) {
    return new Play(transcript, gateway, options).run();
}
