// A STOMP client that hides nothing: frames as they come off the wire, bytes as the test wants them sent. For what a stock client
// would never do; stock clients have suites of their own.
//
//     const ann = await Wire.open(gw.url);
//     await ann.connect();
//     ann.send('SUBSCRIBE', { id: 's', destination: '/topic/a', receipt: 'r' });
//     await ann.receipt('r');
//     const message = await ann.next((frame) => frame.command === 'MESSAGE');
import WebSocket from 'ws';
import { waitFor } from './harness.mjs';

const ESCAPES = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', ':': '\\c' };
const PLAIN = { '\\\\': '\\', '\\n': '\n', '\\r': '\r', '\\c': ':' };

function escape(text) {
    return String(text).replace(/[\\\n\r:]/g, (c) => ESCAPES[c]);
}

function unescape(text) {
    return text.replace(/\\[\\nrc]/g, (c) => PLAIN[c]);
}

export function encodeFrame(command, headers = {}, body = '') {
    const plain = command === 'CONNECT' || command === 'STOMP';
    const spell = plain ? String : escape;
    const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
    const head = [command, ...pairs.map(([name, value]) => `${spell(name)}:${spell(value)}`)].join('\n');
    return Buffer.concat([Buffer.from(`${head}\n\n`), Buffer.from(body), Buffer.from([0])]);
}

// One WebSocket message to a frame; null for a heart-beat. `raw` is the message, `pairs` all headers in order.
export function decodeFrame(data) {
    const raw = Buffer.from(data);
    if (raw.length === 1 && raw[0] === 10) {
        return null;
    }
    const split = raw.indexOf('\n\n');
    const [command, ...lines] = raw.subarray(0, split).toString().split('\n');
    const spell = command === 'CONNECTED' ? (text) => text : unescape;
    const pairs = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)].map(spell));
    const headers = Object.fromEntries([...pairs].reverse()); // the first of a repeated header wins
    const from = split + 2;
    const end = headers['content-length'] === undefined ? raw.indexOf(0, from) : from + Number(headers['content-length']);
    const bytes = raw.subarray(from, end);
    return { command, headers, pairs, bytes, body: bytes.toString(), raw };
}

export class Wire {
    constructor(socket) {
        this.socket = socket;
        this.frames = []; // received and not yet taken by next()
        this.messages = []; // every WebSocket message: { data, isBinary }
        this.heartbeats = 0;
        this.closed = null; // { code, reason } once closed
        socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
        socket.on('close', (code, reason) => (this.closed = { code, reason: reason.toString() }));
        socket.on('error', (error) => (this.error = error));
    }

    // Opens the WebSocket alone. options go to ws (headers, origin, …).
    static async open(url, { protocols = ['v12.stomp', 'v11.stomp', 'v10.stomp'], ...options } = {}) {
        const socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options });
        const wire = new Wire(socket);
        await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
        return wire;
    }

    #receive(data, isBinary) {
        this.messages.push({ data, isBinary });
        const frame = decodeFrame(data);
        if (frame) {
            frame.isBinary = isBinary;
            this.frames.push(frame);
        } else {
            this.heartbeats++;
        }
    }

    // Sends CONNECT and gives the CONNECTED frame.
    async connect(headers = {}) {
        this.send('CONNECT', { 'accept-version': '1.2', host: '/', 'heart-beat': '0,0', ...headers });
        return this.next((frame) => frame.command === 'CONNECTED');
    }

    send(command, headers, body) {
        this.socket.send(encodeFrame(command, headers, body), { binary: false });
    }

    // Bytes or text as they are: one WebSocket message.
    raw(data, options = { binary: typeof data !== 'string' }) {
        this.socket.send(data, options);
    }

    // Takes the first frame that matches (any by default); an ERROR that was not asked for is told.
    async next(matches = () => true, options = {}) {
        const find = () => this.frames.findIndex(matches);
        try {
            await waitFor(() => find() >= 0, { every: 5, what: `a frame: ${matches}`, ...options });
        } catch (error) {
            const seen = this.frames.slice(-5).map((frame) => frame.raw.toString().slice(0, 300));
            error.message += `\nclosed: ${JSON.stringify(this.closed)}; frames not taken: ${JSON.stringify(seen)}`;
            throw error;
        }
        return this.frames.splice(find(), 1)[0];
    }

    receipt(id, options) {
        return this.next((frame) => frame.command === 'RECEIPT' && frame.headers['receipt-id'] === id, options);
    }

    errorFrame(options) {
        return this.next((frame) => frame.command === 'ERROR', options);
    }

    waitClosed(options) {
        return waitFor(() => this.closed, { every: 5, what: 'the socket to close', ...options });
    }

    // DISCONNECT with a receipt, then the close of the server.
    async disconnect() {
        this.send('DISCONNECT', { receipt: 'bye' });
        await this.receipt('bye');
        this.socket.close();
        await this.waitClosed();
    }

    terminate() {
        this.socket.terminate();
    }
}
