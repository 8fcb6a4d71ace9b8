// A TCP socket that speaks HTTP and WebSocket as badly as a test wants; and a canary, which shows that nobody else was touched.
//
//     const raw = await Raw.open(gw.port);
//     const answer = await raw.upgrade('/ws', { 'Sec-WebSocket-Protocol': 'v12.stomp' });     answer.status === 101
//     raw.frame(OPCODE.text, 'CONNECT\n…', { rsv: 4 });
//     const { code } = await raw.closeFrame();
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { unique, waitFor } from './harness.mjs';
import { encodeFrame, Wire } from './wire.mjs';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

// One WebSocket frame of a client. rsv: 4 is RSV1.
export function encodeWebSocketFrame(opcode, payload = '', { fin = true, rsv = 0, mask = true } = {}) {
    const body = Buffer.from(payload);
    const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
    const flag = mask ? 0x80 : 0;
    if (body.length < 126) {
        head.push(flag | body.length);
    } else if (body.length < 65536) {
        head.push(flag | 126, body.length >> 8, body.length & 255);
    } else {
        head.push(flag | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (body.length >> shift) & 255));
    }
    if (!mask) {
        return Buffer.concat([Buffer.from(head), body]);
    }
    const key = randomBytes(4);
    const masked = Buffer.from(body.map((byte, i) => byte ^ key[i & 3]));
    return Buffer.concat([Buffer.from(head), key, masked]);
}

function parseHead(text) {
    const [first, ...lines] = text.split('\r\n');
    const headers = lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]);
    const all = (name) => headers.filter(([key]) => key === name).map(([, value]) => value);
    return { status: Number(/^HTTP\/1\.\d (\d{3})/.exec(first)?.[1]), first, headers, all, header: (name) => all(name)[0] };
}

export class Raw {
    constructor(socket) {
        this.socket = socket;
        this.bytes = Buffer.alloc(0); // received and not yet understood
        this.frames = []; // WebSocket frames, once it is one: { opcode, fin, rsv, payload }
        this.isWebSocket = false;
        this.closed = false;
        this.received = 0;
        socket.on('data', (data) => this.#receive(data));
        socket.on('error', (error) => (this.error = error));
        socket.on('close', () => (this.closed = true));
    }

    static open(port, options = {}) {
        return new Promise((resolve, reject) => {
            const socket = net.connect({ port, host: '127.0.0.1', noDelay: true, ...options }).unref();
            const raw = new Raw(socket);
            const timer = setTimeout(() => reject(new Error('no connection within 10 s')), 10000); // keeps the loop alive as well
            socket.once('connect', () => resolve(raw) || clearTimeout(timer)).once('error', (error) => reject(error) || clearTimeout(timer));
        });
    }

    #receive(data) {
        this.received += data.length;
        this.bytes = Buffer.concat([this.bytes, data]);
        if (this.isWebSocket) {
            this.#parseFrames();
        }
    }

    #parseFrames() {
        while (this.bytes.length >= 2) {
            const short = this.bytes[1] & 127;
            const at = short === 127 ? 10 : short === 126 ? 4 : 2;
            if (this.bytes.length < at) {
                return;
            }
            const length = short === 127 ? Number(this.bytes.readBigUInt64BE(2)) : short === 126 ? this.bytes.readUInt16BE(2) : short;
            if (this.bytes.length < at + length) {
                return;
            }
            const first = this.bytes[0];
            const payload = this.bytes.subarray(at, at + length);
            this.frames.push({ opcode: first & 15, fin: first >= 128, rsv: (first >> 4) & 7, payload });
            this.bytes = this.bytes.subarray(at + length);
        }
    }

    write(data) {
        this.socket.write(data);
        return this;
    }

    // The next HTTP response; null when the socket was closed without one.
    async response(options = {}) {
        let head;
        await waitFor(
            () => {
                const end = this.bytes.indexOf('\r\n\r\n');
                head = end < 0 ? undefined : parseHead(this.bytes.subarray(0, end).toString('latin1'));
                const length = head ? Number(head.header('content-length') ?? 0) : 0;
                if (!head || (this.bytes.length < end + 4 + length && !this.closed)) {
                    return this.closed;
                }
                head.body = this.bytes.subarray(end + 4, end + 4 + length).toString();
                this.bytes = this.bytes.subarray(end + 4 + length);
                return true;
            },
            { every: 5, what: 'an HTTP response, or the end of the socket', ...options },
        );
        return head ?? null;
    }

    // headers: an object or pairs. Gives the response.
    async upgrade(path = '/ws', headers = {}, options = {}) {
        this.write(upgradeRequest(path, headers));
        const answer = await this.response(options);
        if (answer?.status === 101) {
            this.isWebSocket = true;
            this.#parseFrames();
        }
        return answer;
    }

    frame(opcode, payload, options) {
        return this.write(encodeWebSocketFrame(opcode, payload, options));
    }

    // A STOMP frame as one text message.
    stomp(command, headers, body) {
        return this.frame(OPCODE.text, encodeFrame(command, headers, body));
    }

    // Takes the first WebSocket frame that matches.
    async next(matches = () => true, options = {}) {
        const find = () => this.frames.findIndex(matches);
        await waitFor(() => find() >= 0, { every: 5, what: `a WebSocket frame: ${matches}`, ...options });
        return this.frames.splice(find(), 1)[0];
    }

    async connect() {
        this.stomp('CONNECT', { 'accept-version': '1.2', host: '/', 'heart-beat': '0,0' });
        return this.next((frame) => frame.payload.toString().startsWith('CONNECTED\n'));
    }

    async closeFrame(options) {
        const { payload } = await this.next((frame) => frame.opcode === OPCODE.close, options);
        return { code: payload.length >= 2 ? payload.readUInt16BE(0) : null, reason: payload.subarray(2).toString() };
    }

    waitClosed(options) {
        return waitFor(() => this.closed, { every: 5, what: 'the socket to be closed', ...options });
    }

    end() {
        this.socket.destroy();
    }
}

export function upgradeRequest(path = '/ws', headers = {}) {
    const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
    const given = new Set(pairs.map(([name]) => name.toLowerCase()));
    const base = [
        ['Host', '127.0.0.1'],
        ['Upgrade', 'websocket'],
        ['Connection', 'Upgrade'],
        ['Sec-WebSocket-Key', randomBytes(16).toString('base64')],
        ['Sec-WebSocket-Version', '13'],
    ].filter(([name]) => !given.has(name.toLowerCase()));
    const lines = [...base, ...pairs].filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}`);
    return `GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}

// Two clients in a room of their own, one that speaks all the time and one that hears it. What a suite does to others must not touch
// them: stop() asserts that every message arrived, once and in order, and that both are still connected.
export class Canary {
    static async start(gateway, { every = 20, connect = {}, destination = `/topic/${unique('canary')}` } = {}) {
        const canary = new Canary();
        Object.assign(canary, { destination, every });
        [canary.speaker, canary.hearer] = [await Wire.open(gateway.url), await Wire.open(gateway.url)];
        await Promise.all([canary.speaker.connect(connect), canary.hearer.connect(connect)]);
        canary.hearer.send('SUBSCRIBE', { id: 'canary', destination: canary.destination, receipt: 'ready' });
        await canary.hearer.receipt('ready');
        canary.sent = 0;
        canary.timer = setInterval(() => canary.#speak(), every);
        return canary;
    }

    #speak() {
        if (this.speaker.closed === null) {
            this.speaker.send('SEND', { destination: this.destination, receipt: `c${this.sent}`, at: Date.now() }, String(this.sent));
            this.sent++;
        }
    }

    async stop() {
        clearInterval(this.timer);
        const { speaker, hearer } = this;
        const isDone = () => (hearer.frames.length >= this.sent && speaker.frames.length >= this.sent) || speaker.closed || hearer.closed;
        await waitFor(isDone, { what: `all ${this.sent} messages of the canary` });
        assert.deepEqual([speaker.closed, hearer.closed], [null, null], 'the canary was disconnected');
        assert.ok(this.sent > 0, 'the canary spoke');
        assert.deepEqual(
            hearer.frames.map((frame) => frame.body),
            Array.from({ length: this.sent }, (_, i) => String(i)),
            'what the canary heard',
        );
        assert.deepEqual(
            speaker.frames.map((frame) => `${frame.command} ${frame.headers['receipt-id']}`),
            Array.from({ length: this.sent }, (_, i) => `RECEIPT c${i}`),
            'the receipts of the canary',
        );
        speaker.terminate();
        hearer.terminate();
    }
}
