// One connection of a client that counts every byte: over WebSocket or over plain TCP, frames as they come, heart-beats among them.
// Text is latin1: one character is one byte.
//
//     const peer = await Peer.open(gw, 'ws');           'ws' or 'tcp'
//     peer.write('CONNECT\n\n\0', random);              random: cuts it anywhere; without it, whole
//     const item = await peer.next();                   { head, body }, or BEAT; taken from peer.items
//     peer.closed                                       null, or { code, reason } (TCP has neither)
import net from 'node:net';
import WebSocket from 'ws';
import { waitFor } from './harness.mjs';

export const BEAT = 'beat';

// Bytes of one frame up to its NUL, without a content-length that is right.
function decodeFrame(bytes) {
    const end = bytes.indexOf('\n\n');
    if (end < 0) {
        throw new Error(`a frame without an end of its headers: ${JSON.stringify(bytes)}`);
    }
    const body = bytes.slice(end + 2);
    const lines = bytes.slice(0, end).split('\n');
    const at = lines.findIndex((line) => line.startsWith('content-length:'));
    const length = at < 0 ? 0 : Number(lines[at].slice('content-length:'.length));
    if (length !== body.length || (at < 0) !== (body.length === 0)) {
        throw new Error(`content-length of ${length} before a body of ${body.length} bytes: ${JSON.stringify(bytes)}`);
    }
    return { head: lines.filter((_, i) => i !== at).join('\n'), body };
}

function isUtf8(bytes) {
    return Buffer.from(Buffer.from(bytes, 'latin1').toString('utf8'), 'utf8').equals(Buffer.from(bytes, 'latin1'));
}

// One to forty bytes each, as `random` (0…1) says.
function pieces(bytes, random) {
    const out = [];
    for (let at = 0; at < bytes.length; ) {
        const n = 1 + Math.floor(random() * Math.min(40, bytes.length - at));
        out.push(bytes.slice(at, at + n));
        at += n;
    }
    return out;
}

export class Peer {
    constructor() {
        this.items = [];
        this.lastAt = Date.now(); // when the last one came
        this.closed = null;
        this.fault = null; // bytes that are no STOMP
    }

    static open(gateway, transport, options = {}) {
        return transport === 'tcp' ? TcpPeer.open(gateway, options) : WebSocketPeer.open(gateway, options);
    }

    take(item) {
        this.lastAt = Date.now();
        try {
            this.items.push(item === '\n' ? BEAT : decodeFrame(item));
        } catch (error) {
            this.fault ??= error;
        }
    }

    // The next frame or beat, or null when the connection has ended without one.
    async next(options = {}) {
        await waitFor(() => this.items.length > 0 || this.closed || this.fault, { every: 3, what: 'a frame', ...options });
        if (this.fault) {
            throw this.fault;
        }
        return this.items.shift() ?? null;
    }

    waitClosed(options = {}) {
        return waitFor(() => this.closed, { every: 3, what: 'the connection to be closed', ...options });
    }
}

class WebSocketPeer extends Peer {
    static async open(gateway, { protocols = ['v12.stomp', 'v11.stomp', 'v10.stomp'] } = {}) {
        const peer = new WebSocketPeer();
        const socket = new WebSocket(gateway.url, protocols, { perMessageDeflate: false, autoPong: false });
        peer.socket = socket;
        socket.on('message', (data) => peer.#message(data.toString('latin1')));
        socket.on('close', (code, reason) => (peer.closed = { code, reason: reason.toString() }));
        await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
        socket.on('error', () => {});
        return peer;
    }

    // One WebSocket message is one STOMP frame with its NUL and nothing behind it, or one LF.
    #message(bytes) {
        if (bytes !== '\n' && !bytes.endsWith('\0')) {
            this.fault ??= new Error(`a WebSocket message that is neither a frame nor a beat: ${JSON.stringify(bytes)}`);
        } else {
            this.take(bytes === '\n' ? bytes : bytes.slice(0, -1));
        }
    }

    write(bytes, random) {
        for (const piece of random ? pieces(bytes, random) : [bytes]) {
            const isText = !random && isUtf8(piece);
            this.socket.send(Buffer.from(piece, 'latin1'), { binary: !isText });
        }
    }

    pong() {
        this.socket.pong('alive');
    }

    end() {
        this.socket.terminate();
    }
}

class TcpPeer extends Peer {
    static async open(gateway) {
        const peer = new TcpPeer();
        const socket = net.connect({ host: '127.0.0.1', port: gateway.tcpPort, noDelay: true });
        peer.socket = socket;
        peer.rest = '';
        socket.on('data', (data) => peer.#receive(data.toString('latin1')));
        socket.on('close', () => (peer.closed = {}));
        await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
        socket.on('error', (error) => (peer.error = error));
        return peer;
    }

    // Behind the NUL of each frame stands one LF, as RabbitMQ writes it. Any other is a beat.
    #receive(bytes) {
        this.rest += bytes;
        while (this.rest.length > 0 && !this.fault) {
            const end = this.rest[0] === '\n' ? 0 : this.#endOfFrame();
            if (end < 0 || (end > 0 && end + 1 === this.rest.length)) {
                return;
            }
            if (end > 0 && this.rest[end + 1] !== '\n') {
                this.fault = new Error(`no LF behind a frame: ${JSON.stringify(this.rest.slice(0, end + 10))}`);
            }
            this.take(end > 0 ? this.rest.slice(0, end) : '\n');
            this.rest = this.rest.slice(end > 0 ? end + 2 : 1);
        }
    }

    // Where the NUL of the first frame is; -1 when it has not come.
    #endOfFrame() {
        const head = this.rest.indexOf('\n\n');
        if (head < 0) {
            return -1;
        }
        const length = /\ncontent-length:(\d+)\n/.exec(this.rest.slice(0, head + 1));
        const from = head + 2 + (length ? Number(length[1]) : 0);
        return this.rest.indexOf('\0', from);
    }

    write(bytes, random) {
        for (const piece of random ? pieces(bytes, random) : [bytes]) {
            this.socket.write(Buffer.from(piece, 'latin1'));
        }
    }

    end() {
        this.socket.destroy();
    }
}
