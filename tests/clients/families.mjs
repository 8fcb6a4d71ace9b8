// One face over the stock clients, as npm has them, unmodified: what the suites ask of one they ask of all.
//
//     const ann = await open(family, gw);                       connected; ann.connected is the CONNECTED frame
//     await ann.subscribe('/topic/a', (message) => …);          back when the RECEIPT is there; gives { id, unsubscribe() }
//     await ann.say('/topic/a', 'hello', { 'x-header': '1' });  SEND, and its RECEIPT
//     ann.errors, ann.closes, ann.sockets                       what its callbacks were told, and its WebSockets with all their bytes
//     await ann.close();
//     endAll();                                                 when the suite is over
//
// A family says in its traits what its client is known for: the `subprotocol` and `version` it gets; that it `escapes` headers (in 1.2); the
// size of the pieces it always `splits` frames into; whether it sends `unsubscribeHeaders`; the `largest` body it takes; how it is told to
// leave content-length out (`unmeasured`: headers, and options of publish()); `isObserved`: its WebSocket is ours to look into.
import { createRequire } from 'node:module';
import { RxStomp, RxStompState } from '@stomp/rx-stomp';
import { Client as Client7, Stomp as Stomp7 } from '@stomp/stompjs';
import WebSocket from 'ws';
import { unique, waitFor } from '../lib/harness.mjs';
import { decodeFrame } from '../lib/wire.mjs';

// A WebSocket that remembers what went through it. Clients of one page are told apart by the query of their URL.
export class Observed extends WebSocket {
    static all = [];

    constructor(url, protocols) {
        super(url, protocols);
        this.sent = []; // what the client gave to send(): strings and bytes
        this.received = []; // { data, isBinary }
        this.on('message', (data, isBinary) => this.received.push({ data: Buffer.from(data), isBinary }));
        this.on('error', () => {}); // in a browser nobody has to listen; the close follows
        Observed.all.push(this);
    }

    send(data, ...rest) {
        this.sent.push(data);
        super.send(data, ...rest);
    }

    get beats() {
        return this.received.filter(({ data }) => data.length === 1).length;
    }

    frames(command) {
        return this.received.map(({ data }) => decodeFrame(data)).filter((frame) => frame?.command === command);
    }
}

// The old clients look for it when they are loaded, or take what else they find.
globalThis.WebSocket = Observed;
const require = createRequire(import.meta.url);
const { Client: Client6 } = require('stompjs-v6');
const { Client: Client5 } = require('stompjs-v5');
const Stomp4 = require('stompjs-v4');
const Stomp2 = require('stompjs-2');
const webstomp = require('webstomp-client');
const { w3cwebsocket: OtherWebSocket } = require('websocket');

const BEATS = { outgoing: 1000, incoming: 1000 };

class Talker {
    constructor(family, gateway, options) {
        this.family = family;
        this.options = options;
        this.url = `${gateway.url}?${unique()}`;
        this.connects = []; // CONNECTED frames
        this.errors = []; // ERROR frames
        this.closes = []; // close events, or what the client has of them
        this.receipts = new Set();
    }

    get connected() {
        return this.connects.at(-1);
    }

    get sockets() {
        return Observed.all.filter((socket) => socket.url === this.url);
    }

    get socket() {
        return this.sockets.at(-1);
    }

    told() {
        const errors = this.errors.map((frame) => `${frame.headers.message}: ${frame.body}`);
        return `${this.family.name}: ERRORs ${JSON.stringify(errors)}, closes ${this.closes.length}`;
    }

    // Waits, and says what the client was told when it waits in vain.
    async until(predicate, what) {
        try {
            return await waitFor(predicate, { every: 5, what });
        } catch (error) {
            error.message += `\n${this.told()}`;
            throw error;
        }
    }

    receipt(id) {
        return this.until(() => this.receipts.has(id), `the receipt ${id}`);
    }

    async subscribe(destination, callback, headers = {}) {
        const receipt = unique('r');
        this.expectReceipt(receipt);
        const subscription = this.listen(destination, callback, { receipt, ...headers });
        await this.receipt(receipt);
        return subscription;
    }

    async say(destination, body, headers = {}) {
        const receipt = unique('r');
        this.expectReceipt(receipt);
        this.send(destination, body, { receipt, ...headers });
        await this.receipt(receipt);
    }

    // For clients that hand every receipt to one callback there is nothing to prepare.
    expectReceipt() {}

    gotReceipt(frame) {
        this.receipts.add(frame.headers['receipt-id']);
    }
}

// @stomp/stompjs 5, 6 and 7.
class Modern extends Talker {
    open() {
        const { headers = {}, client = {} } = this.options;
        this.client = new this.family.Client({
            brokerURL: this.url,
            connectHeaders: headers,
            reconnectDelay: 0,
            heartbeatIncoming: BEATS.incoming,
            heartbeatOutgoing: BEATS.outgoing,
            onConnect: (frame) => this.connects.push(frame),
            onStompError: (frame) => this.errors.push(frame),
            onWebSocketClose: (event) => this.closes.push(event),
            ...client,
        });
        this.client.activate();
    }

    expectReceipt(id) {
        this.client.watchForReceipt(id, (frame) => this.gotReceipt(frame));
    }

    listen(destination, callback, headers) {
        return this.client.subscribe(destination, callback, headers);
    }

    send(destination, body, headers, more) {
        this.client.publish({ destination, body, headers, ...more });
    }

    transaction() {
        return this.client.begin();
    }

    close() {
        return this.client.deactivate();
    }
}

// @stomp/rx-stomp.
class Rx extends Talker {
    open() {
        const { headers = {}, client = {} } = this.options;
        this.rx = new RxStomp();
        this.rx.configure({
            brokerURL: this.url,
            connectHeaders: headers,
            reconnectDelay: 0,
            heartbeatIncoming: BEATS.incoming,
            heartbeatOutgoing: BEATS.outgoing,
            ...client,
        });
        this.rx.serverHeaders$.subscribe((serverHeaders) => this.connects.push({ headers: serverHeaders }));
        this.rx.stompErrors$.subscribe((frame) => this.errors.push(frame));
        this.rx.unhandledReceipts$.subscribe((frame) => this.gotReceipt(frame));
        let last = RxStompState.CLOSED;
        this.rx.connectionState$.subscribe((state) => {
            if (state === RxStompState.CLOSED && last !== state) {
                this.closes.push(state);
            }
            last = state;
        });
        this.rx.activate();
    }

    listen(destination, callback, headers) {
        let unsubHeaders = {};
        const subscription = this.rx.watch({ destination, subHeaders: headers, unsubHeaders: () => unsubHeaders }).subscribe(callback);
        return {
            unsubscribe(wanted = {}) {
                unsubHeaders = wanted;
                subscription.unsubscribe();
            },
        };
    }

    send(destination, body, headers, more) {
        this.rx.publish({ destination, body, headers, ...more });
    }

    transaction() {
        return this.rx.stompClient.begin();
    }

    close() {
        return this.rx.deactivate();
    }
}

// @stomp/stompjs 4, and the same interface as newer ones still have it.
class Compat extends Talker {
    make() {
        return this.family.make(this.url);
    }

    open() {
        this.client = this.make();
        this.client.debug = () => {};
        Object.assign(this.client.heartbeat, BEATS);
        this.client.reconnect_delay = this.options.reconnectDelay ?? 0;
        this.client.onreceipt = (frame) => this.gotReceipt(frame);
        this.client.connect(
            { ...this.options.headers },
            (frame) => this.connects.push(frame),
            (problem) => problem.headers && this.errors.push(problem),
            (event) => this.closes.push(event),
        );
    }

    // These clients write into the headers they are given.
    listen(destination, callback, headers) {
        return this.client.subscribe(destination, callback, { ...headers });
    }

    send(destination, body, headers) {
        this.client.send(destination, { ...headers }, body);
    }

    transaction() {
        return this.client.begin();
    }

    close() {
        return new Promise((resolve) => this.client.disconnect(resolve));
    }
}

// stompjs 2.3.3: one callback hears of ERROR frames and of the close; a disconnect waits for nothing.
class Old extends Compat {
    open() {
        this.client = this.make();
        this.client.debug = () => {};
        Object.assign(this.client.heartbeat, BEATS);
        this.client.onreceipt = (frame) => this.gotReceipt(frame);
        const onProblem = (problem) => (problem?.command ? this.errors : this.closes).push(problem);
        this.client.connect({ ...this.options.headers }, (frame) => this.connects.push(frame), onProblem);
    }

    listen(destination, callback, headers) {
        const subscription = super.listen(destination, callback, headers);
        return { id: subscription.id, unsubscribe: () => subscription.unsubscribe() };
    }
}

// webstomp-client: the body comes before the headers.
class Web extends Old {
    make() {
        return webstomp.client(this.url, { debug: false, heartbeat: { ...BEATS }, ...this.options.client });
    }

    listen(destination, callback, headers) {
        return this.client.subscribe(destination, callback, headers);
    }

    send(destination, body, headers) {
        this.client.send(destination, body, headers);
    }
}

const PIECE = 16 * 1024;
const MIB = 1024 * 1024;
const usual = {
    subprotocol: 'v12.stomp',
    version: '1.2',
    escapes: true,
    splits: 0,
    unsubscribeHeaders: true,
    largest: MIB,
    unmeasured: [{ 'content-length': false }],
    isObserved: true,
};
const since5 = { unmeasured: [{}, { skipContentLengthHeader: true }] };

function family(name, Kind, traits, parts) {
    return { name, Kind, ...usual, ...traits, ...parts };
}

export const modern = [
    family('@stomp/stompjs 7', Modern, since5, { Client: Client7 }),
    family('@stomp/stompjs 6', Modern, since5, { Client: Client6 }),
    family('@stomp/stompjs 5', Modern, since5, { Client: Client5 }),
];

export const rxStomp = family('@stomp/rx-stomp', Rx, since5);
export const stompjs4 = family('@stomp/stompjs 4.0.8', Compat, { splits: PIECE }, { make: (url) => Stomp4.client(url) });
export const webstompClient = family('webstomp-client', Web, { escapes: false, splits: PIECE });

// Another implementation of WebSocket: it sends fragments, offers no subprotocol unless told to, and takes frames up to 1 MiB.
const other = { subprotocol: undefined, isObserved: false, largest: MIB - 1024 };
const offered = ['v10.stomp', 'v11.stomp', 'v12.stomp'];
const old = { subprotocol: 'v11.stomp', version: '1.1', escapes: false, splits: PIECE, unsubscribeHeaders: false };

export const families = [
    ...modern,
    rxStomp,
    family('@stomp/stompjs 7, Stomp.client()', Compat, {}, { make: (url) => Stomp7.client(url) }),
    stompjs4,
    family('@stomp/stompjs 4.0.8 on another WebSocket', Compat, { splits: PIECE, ...other, subprotocol: 'v12.stomp' }, {
        make: (url) => Stomp4.over(() => new OtherWebSocket(url, offered)),
    }),
    family('stompjs 2.3.3', Old, old, { make: (url) => Stomp2.client(url) }),
    family('stompjs 2.3.3, Stomp.overWS()', Old, { ...old, ...other }, { make: (url) => Stomp2.overWS(url) }),
    webstompClient,
];

const begun = [];

// A client that has begun to connect. options: headers (of CONNECT), client (the client's own settings), reconnectDelay (of 4.0.8).
export function begin(wanted, gateway, options = {}) {
    const talker = new wanted.Kind(wanted, gateway, options);
    begun.push(talker);
    talker.open();
    return talker;
}

// For the end of a suite: nobody connects again, whatever went wrong.
export function endAll() {
    for (const { rx, client } of begun) {
        client?.deactivate?.();
        rx?.deactivate();
        (client ?? {}).reconnect_delay = 0; // of 4.0.8
    }
    Observed.all.forEach((socket) => socket.terminate());
}

export async function open(wanted, gateway, options) {
    const talker = begin(wanted, gateway, options);
    await talker.until(() => talker.connected, 'CONNECTED');
    return talker;
}
