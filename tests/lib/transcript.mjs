// Reads the transcripts of tests/transcripts (README.md there) for live play: what a real client does and sees of them, on which
// configuration, and what stands in the way when one can only be played sans-IO.
//
//     const t = readTranscript('12-ack.stomp', text);
//     t.obstacle      why it cannot be played live (one of OBSTACLES); null: it can
//     t.settings      { limits: { body_bytes: 1024 } }, t.users: [{ login, password }], what its gateway must have
//     t.steps         [{ kind: 'send', bytes }, { kind: 'expect', frame }, { kind: 'wait', ms }, { kind: 'close', code, text }, …]
//     t.owed          receipts that the transcript leaves open and a real broker gives
//     t.queues        [{ name, left }]: how many messages are in a queue when all is over
// Text is latin1 throughout: one character is one byte.

export const OBSTACLES = {
    refusal: 'the broker refuses or loses something',
    silence: 'the broker has to keep silent for a while',
    host: 'the host answers in words of its own',
    order: 'the host answers what nobody asked',
    audience: 'the audience writes, overflows or has a gap',
    gone: 'the broker goes away',
    time: 'it takes longer than a test should',
    twice: 'a server goes down twice',
    again: 'the broker delivers something again, or loses a channel',
    elsewhere: 'somebody else binds a queue, or publishes in the name of another',
    reply: 'only an application knows the name of a reply queue',
};

// As amqplib has them.
const PROPERTIES = {
    'content-type': 'contentType',
    'content-encoding': 'contentEncoding',
    'correlation-id': 'correlationId',
    'reply-to': 'replyTo',
    expiration: 'expiration',
    'message-id': 'messageId',
    type: 'type',
    'app-id': 'appId',
};

const LONGEST_WAIT_MS = 32000; // in one go, before something that must come
const SHORT_SILENCE_MS = 1500; // in place of a longer wait at whose end nothing happens

// The bytes that a transcript's text stands for.
export function decode(text) {
    const plain = { n: '\n', r: '\r', t: '\t', 0: '\0' };
    return text.replace(/\{(\d+)\*(.)\}|\\x([0-9a-fA-F]{2})|\\(.)|\|/g, (all, count, what, hex, escaped) => {
        if (count !== undefined) {
            return what.repeat(Number(count));
        }
        if (hex !== undefined) {
            return String.fromCharCode(parseInt(hex, 16));
        }
        return escaped === undefined ? '\n' : (plain[escaped] ?? escaped);
    });
}

function frameBytes(text) {
    const bytes = decode(text);
    return `${bytes}${bytes.includes('\n\n') ? '' : '\n\n'}\0`;
}

// "COMMAND\nname:value…" and the body, which is how frames are compared.
function expected(text) {
    const bytes = decode(text);
    const end = bytes.indexOf('\n\n');
    return end < 0 ? { head: bytes, body: '' } : { head: bytes.slice(0, end), body: bytes.slice(end + 2) };
}

// ---- lines into steps ------------------------------------------------------------------------------------------------

const SILENT = /^(subscribed|room$|tick$|show |written |synced \d+$)/; // a real host does these by itself
const INJECTED = [
    [/^synced \d+ lost/, 'refusal'],
    [/^restored /, 'again'],
    [/^host sync none$/, 'refusal'],
    [/^settled \d+ (nacked|returned|refused|unknown)/, 'refusal'],
    [/^(lost|refused|failed)( |$)/, 'refusal'],
    [/^host (login|subscribe|publish) refuse ./, 'host'],
    [/^host (subscribe|publish) refuse$/, 'host'],
    [/^host reason/, 'host'],
    [/^broker-gone$/, 'gone'],
    [/^(gap|slow|wrote)$/, 'audience'],
];

function header(frame, name) {
    return new RegExp(`^${name}:(.*)$`, 'm').exec(frame)?.[1];
}

class Reader {
    constructor(name, text) {
        Object.assign(this, { name, steps: [], settings: {}, credentials: new Map(), obstacle: null, needs: new Set() });
        this.isLoginRefused = false;
        this.hostWaits = new Set(); // login, subscribe, publish: what the host does not answer at once
        this.open = new Set(); // answers that the transcript's host still owes
        this.private = new Map(); // handle → the private subscription
        this.deliveries = new Map(); // tag → { handle, isLeft }, of those that have not ended
        this.receipts = new Set(); // of SENDs, COMMITs, ACKs: they come when the broker is ready
        this.isClosed = false;
        this.lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
        this.why = text.split('\n')[0].replace(/^# /, '');
        this.lines.forEach((line, at) => this.#line(line, at));
    }

    #stop(obstacle) {
        this.obstacle ??= OBSTACLES[obstacle];
    }

    #line(line, at) {
        if (this.isClosed) {
            return; // nothing that happens after the close can be seen
        }
        const injected = INJECTED.find(([pattern]) => pattern.test(line));
        if (injected) {
            this.#stop(injected[1]);
        } else if (line.startsWith('>')) {
            this.#client(line);
        } else if (line.startsWith('<')) {
            this.#server(line);
        } else if (line.startsWith('!')) {
            this.#host(line, at);
        } else {
            this.#event(line, at);
        }
    }

    #client(line) {
        let bytes = '\n';
        if (line.startsWith('> ')) {
            bytes = frameBytes(line.slice(2));
            this.#frame(bytes);
        } else if (line.startsWith('>raw ')) {
            bytes = decode(line.slice(5));
        }
        const last = this.steps.at(-1);
        if (last?.kind === 'send') {
            last.bytes += bytes;
        } else {
            this.steps.push({ kind: 'send', bytes });
        }
    }

    #frame(bytes) {
        const head = bytes.slice(0, bytes.indexOf('\n\n'));
        const command = head.split('\n')[0];
        const receipt = header(head, 'receipt');
        if (receipt !== undefined && /^(SEND|COMMIT|ACK|NACK|DISCONNECT|SUBSCRIBE|UNSUBSCRIBE|ABORT)$/.test(command)) {
            this.receipts.add(receipt);
        }
    }

    // ! login 'ann' 'pw', or with - for what was not given
    #login(line) {
        const [, login, passcode] = /^! login (\S+) (.*)$/.exec(line);
        this.asked = login === '-' ? null : [login, passcode].map((text) => (text === '-' ? undefined : decode(text.slice(1, -1))));
        if (this.hostWaits.has('login')) {
            this.open.add('login');
        } else {
            this.#letIn(!this.isLoginRefused);
        }
    }

    // Who is refused is no user of the gateway.
    #letIn(isOk) {
        if (isOk && this.asked) {
            const [login, passcode] = this.asked;
            if (passcode === undefined) {
                this.#stop('host');
            }
            this.credentials.set(login, passcode);
        }
        this.asked = null;
    }

    #server(line) {
        if (line === '<beat') {
            this.steps.push({ kind: 'beat' });
            return;
        }
        const frame = expected(line.slice(2));
        if (/^ERROR\nmessage:Receipt timeout\n/.test(frame.head)) {
            this.#stop('silence');
        }
        this.steps.push({ kind: 'expect', frame });
    }

    // What the host was asked: seen by a client only when it is the close.
    #host(line, at) {
        const close = /^! close (\d+) (\w+): (.*)$/.exec(line);
        this.#consumer(line);
        this.#settle(line);
        if (close) {
            this.isClosed = true;
            this.steps.push({ kind: 'close', code: Number(close[1]), text: decode(close[3]) });
        } else if (line.startsWith('! login ')) {
            this.#login(line);
        } else if (line.startsWith('! subscribe') && this.hostWaits.has('subscribe')) {
            this.open.add(`subscribe ${line.split(' ')[2]}`);
        } else if (/^! publish \d/.test(line)) {
            const n = line.split(' ')[2];
            if (this.lines.slice(at).some((later) => later === `settled ${n} confirmed`)) {
                this.open.add(`publish ${n}`);
            }
        }
    }

    // ! subscribe 1 'id' exchange/key spelling queue=name flags… ack=client
    #consumer(line) {
        const found = /^! subscribe (\d+) (?:'(?:[^'\\]|\\.)*'|-) ([^/ ]*)\/(\S*) \S* queue=(\S+)(.*)$/.exec(line);
        if (found) {
            const [, handle, exchange, key, queue, flags] = found;
            const isKept = !/ exclusive| auto-delete/.test(flags) && !/^(stomp-subscription-|stomp\.gen-)/.test(queue);
            const isCounted = isKept && !/ ack=auto/.test(flags);
            this.private.set(handle, { exchange: decode(exchange), key: decode(key), queue: decode(queue), isCounted });
        }
    }

    // delivery 1 7 name=value… | body
    #deliver(line) {
        const [, handle, tag, words, , body] = /^delivery (\d+) (\d+)((?: [^ |]\S*)*)( \| (.*))?$/.exec(line);
        const subscription = this.private.get(handle);
        const options = { headers: {} };
        for (const word of words.split(' ').filter(Boolean)) {
            this.#field(options, word);
        }
        if (!subscription || /^stomp\.gen-/.test(subscription.queue)) {
            this.#stop('reply');
            return;
        }
        this.deliveries.set(tag, { handle, isLeft: true });
        this.steps.push({ kind: 'deliver', exchange: subscription.exchange, key: subscription.key, body: decode(body ?? ''), options });
    }

    #field(options, word) {
        const at = word.indexOf('=');
        const [name, value] = at < 0 ? [word, ''] : [word.slice(0, at), decode(word.slice(at + 1))];
        if (/^(redelivered|epoch)$/.test(name)) {
            this.#stop('again');
        } else if (name === 'gap') {
            this.#stop('audience');
        } else if (/^(exchange|key|user-id)$/.test(name)) {
            this.#stop('elsewhere');
        } else if (PROPERTIES[name]) {
            options[PROPERTIES[name]] = value;
        } else {
            options.headers[name] = value;
        }
    }

    // ! settle 7 nack multiple requeue
    #settle(line) {
        const found = /^! settle (\d+) (ack|nack)(.*)$/.exec(line);
        if (!found) {
            return;
        }
        const [, tag, how, flags] = found;
        for (const [other, delivery] of this.deliveries) {
            const isMeant = other === tag || (flags.includes('multiple') && Number(other) < Number(tag));
            if (isMeant && !delivery.isSettled) {
                delivery.isSettled = true;
                delivery.isLeft = how === 'nack' && flags.includes('requeue');
            }
        }
    }

    #event(line, at) {
        const [word, ...rest] = line.split(' ');
        if (word === 'delivery') {
            this.#deliver(line);
        } else if (word === 'set') {
            this.#set(...rest);
        } else if (word === 'host') {
            this.#hostMode(rest);
        } else if (word === 'wait') {
            this.#wait(Number(rest[0]), at);
        } else if (word === 'login') {
            this.#letIn(rest[0] === 'ok');
            this.#answered('login');
        } else if (word === 'settled') {
            this.#answered(`publish ${rest[0]}`);
        } else if (word === 'subscribed') {
            this.#answered(`subscribe ${rest[0]}`);
        } else if (word === 'alive') {
            this.needs.add('pong');
            this.steps.push({ kind: 'pong' });
        } else if (word === 'drain') {
            this.#drain();
        } else if (!SILENT.test(line)) {
            throw new Error(`${this.name}: the live run does not know the line '${line}'`);
        }
    }

    #drain() {
        if (this.needs.has('gateway')) {
            this.#stop('twice');
        } else if (this.open.has('login')) {
            this.#stop('silence');
        }
        this.needs.add('gateway');
        this.steps.push({ kind: 'drain' });
    }

    #set(key, value) {
        const [section, name] = key.split('.');
        this.settings[section] ??= {};
        this.settings[section][name] = /^-?\d+$/.test(value) ? Number(value) : value;
    }

    #hostMode([what, verdict]) {
        this.isLoginRefused = what === 'login' ? verdict === 'refuse' : this.isLoginRefused;
        if (verdict === 'wait') {
            this.hostWaits.add(what);
        } else {
            this.hostWaits.delete(what);
        }
    }

    #answered(what) {
        if (!this.open.delete(what) && what !== 'login' && !this.receipts.size) {
            return; // a second answer, or one to nobody: a broker gives none
        }
    }

    // While the transcript's host owes an answer, a real one has given it already: then time has no meaning, and what must come in that
    // time cannot come.
    #wait(ms, at) {
        const isOwing = this.open.size > 0 || this.hostWaits.has('publish');
        const next = this.lines.slice(at + 1).find((line) => !/^(wait|tick)/.test(line));
        const isExpected = next?.startsWith('<') || next?.startsWith('! close');
        if (isOwing) {
            if (isExpected) {
                this.#stop('silence');
            }
            return;
        }
        const last = this.steps.at(-1);
        if (last?.kind === 'wait') {
            last.ms += ms;
        } else {
            this.steps.push({ kind: 'wait', ms });
        }
        const wait = this.steps.at(-1);
        wait.isExpected = isExpected;
        wait.isLast = next === undefined;
    }
}

function finishWaits(reader) {
    for (const step of reader.steps.filter(({ kind }) => kind === 'wait')) {
        if (step.isLast) {
            step.ms = Math.min(step.ms, SHORT_SILENCE_MS);
        } else if (step.ms > LONGEST_WAIT_MS) {
            reader.obstacle ??= OBSTACLES.time;
        }
    }
}

// Receipts that the transcript ends without: the real broker gives them, so a silence after them cannot be kept.
function owedReceipts(reader) {
    const given = new Set(reader.steps.filter(({ kind }) => kind === 'expect').map(({ frame }) => header(frame.head, 'receipt-id')));
    return [...reader.receipts].filter((receipt) => !given.has(receipt));
}

// Of the queues that outlive their subscriber and whose messages end by acks alone.
function countQueues(reader) {
    const queues = new Map();
    for (const { queue, isCounted } of reader.private.values()) {
        queues.set(queue, { name: queue, left: 0, isCounted: isCounted && (queues.get(queue)?.isCounted ?? true) });
    }
    for (const { handle, isLeft } of reader.deliveries.values()) {
        queues.get(reader.private.get(handle).queue).left += isLeft ? 1 : 0;
    }
    return reader.deliveries.size > 0 ? [...queues.values()].filter(({ isCounted }) => isCounted) : [];
}

export function readTranscript(name, text) {
    const reader = new Reader(name, text);
    finishWaits(reader);
    const owed = owedReceipts(reader);
    if (owed.length > 0 && reader.steps.some(({ kind, isExpected }) => kind === 'wait' && isExpected)) {
        reader.obstacle ??= OBSTACLES.silence;
    }
    const length = reader.steps.reduce((sum, step) => sum + (step.kind === 'wait' ? step.ms : 0), 0);
    const users = [...reader.credentials].map(([login, password]) => ({ login, password: password ?? '' }));
    const { why, steps, settings, obstacle, needs, receipts } = reader;
    return { name, why, steps, settings, users, obstacle, needs, receipts, owed, length, queues: countQueues(reader) };
}
