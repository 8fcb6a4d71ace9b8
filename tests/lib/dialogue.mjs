// Plays one conversation, given as text, with a STOMP server over its broker, and gives what came back: a list of lines that two servers
// can be compared by.
//
//     const lines = await converse(world, (client) => Peer.open({ tcpPort }, 'tcp'), `
//         a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:r
//         a< RECEIPT
//         look $q
//     `, { clients: { a: '1.1' } });
//
// | line | meaning |
// |---|---|
// | `a> SEND\|destination:/queue/$q\|\|body` | client a sends a frame; it connects first, by 1.2 if `clients` does not say otherwise (null: it does not)|
// | `a>> bytes` | these bytes and no more |
// | `a< RECEIPT MESSAGE` | the next two frames of a, in either order; they are noted as they are, whatever they are |
// | `a! sync`, `a! closed`, `a! end` | all that a has sent was read; the server has closed; a cuts its socket |
// | `amqp {"key": "$q", "headers": {…}}` | plain AMQP publishes (amqplib's properties; exchange, key, body) |
// | `make $q {…}`, `exchange $x topic [internal]`, `delete $q`, `unexchange $x` | an administrator does this |
// | `answer $q {…}` | an application takes a request by AMQP and answers it |
// | `count $q 1` | so many messages are ready in the queue, soon; the number is noted |
// | `get $q` | takes one message by AMQP and notes its properties |
// | `look $q`, `look $x key` | the queue as the management API shows it; those bound to an exchange by a key (`-`: an empty one) |
// | `left $x key` | the same, once nothing is bound so, or after a while |
// | `queues $x key` | how many queues are bound so |
// | `gone $q`, `comes $q` | the queue is gone, or there, soon |
//
// $name is a name that no other conversation has; it is noted as `name`. $a.ack is the header of a's last MESSAGE, $a2.ack of its second.
// Names, session ids and UUIDs are noted without what is random in them. At the end it is noted what came that no line waited for, and
// which connections are open still.
import { randomBytes } from 'node:crypto';
import { BEAT } from './peer.mjs';
import { waitFor } from './harness.mjs';

const PATIENCE_MS = 15000;
const ESCAPES = { n: '\n', r: '\r', t: '\t', 0: '\0', '\\': '\\', '|': '|' };

// The text of a script as the bytes it stands for, one character each.
function bytesOf(text) {
    const plain = Buffer.from(text, 'utf8').toString('latin1');
    return plain.replace(/\\(x[0-9a-f]{2}|[nrt0\\|])|\{(\d+)\*(.)\}/gs, (all, escape, n, c) => {
        if (n) {
            return c.repeat(Number(n));
        }
        return escape[0] === 'x' ? String.fromCharCode(parseInt(escape.slice(1), 16)) : ESCAPES[escape];
    });
}

// Bytes as text of a script.
function quote(bytes) {
    return bytes.replace(/[\\|]/g, '\\$&');
}

// `COMMAND|name:value||body` as bytes.
function frameOf(text) {
    const at = text.search(/(?<!\\)\|\|/);
    const [head, body] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 2)];
    return `${bytesOf(head.replace(/(?<!\\)\|/g, '\n'))}\n\n${bytesOf(body)}\0`;
}

// A frame as a line: UTF-8 where it is that, else bytes.
function lineOf({ head, body }) {
    const spell = (text) => {
        const utf8 = Buffer.from(text, 'latin1').toString('utf8');
        const shown = utf8.includes('\ufffd') ? text.replace(/[\x80-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`) : utf8;
        return shown.replace(/[\0\n\r|]/g, (c) => ({ '\0': '\\0', '\n': '\\n', '\r': '\\r', '|': '\\|' })[c]);
    };
    return head.split('\n').map(spell).join('|') + (body ? `||${spell(body)}` : '');
}

class Client {
    constructor(dialogue, name, version) {
        Object.assign(this, { dialogue, name, version });
        this.messages = []; // the headers of each MESSAGE
        this.session = null;
    }

    async open() {
        this.peer = await this.dialogue.open(this.name);
        if (this.version) {
            const login = 'login:guest|passcode:guest';
            this.peer.write(frameOf(`CONNECT|accept-version:${this.version}|host:${this.dialogue.world.vhost}|${login}|heart-beat:0,0`));
            const connected = await this.next();
            if (!connected?.head.startsWith('CONNECTED\n')) {
                throw new Error(`not connected: ${JSON.stringify(connected)}`);
            }
        }
        return this;
    }

    // The next frame; null at the end of the connection, undefined when nothing comes.
    async next() {
        try {
            let item = await this.peer.next({ timeout: this.dialogue.patience });
            while (item === BEAT) {
                item = await this.peer.next({ timeout: this.dialogue.patience });
            }
            if (item) {
                this.#learn(item);
            }
            return item;
        } catch (error) {
            if (this.peer.fault) {
                throw error;
            }
            return undefined;
        }
    }

    #learn({ head }) {
        const lines = head.split('\n');
        const headers = Object.fromEntries(lines.slice(1).map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
        if (lines[0] === 'MESSAGE') {
            this.messages.push(headers);
        } else if (lines[0] === 'CONNECTED') {
            this.session = headers.session;
            this.dialogue.sessions.set(headers.session, this.name);
        }
    }

    noted(frame) {
        return this.dialogue.plain(lineOf(frame));
    }

    async take(words) {
        const lines = [];
        for (let left = words.length; left > 0; left--) {
            const frame = await this.next();
            lines.push(frame ? `${this.name}< ${this.noted(frame)}` : `${this.name} ${frame === null ? 'closed' : 'nothing comes'}`);
            if (!frame) {
                break;
            }
            if (left > 1 && frame.head.startsWith('ERROR\n')) {
                lines.push(...(await this.sync())); // perhaps it was all
                break;
            }
        }
        return lines.sort();
    }

    // Everything that comes until what was sent is done.
    async sync() {
        const lines = [];
        if (!this.peer.closed) {
            this.peer.write('BEGIN\ntransaction:sync\nreceipt:sync\n\n\0ABORT\ntransaction:sync\n\n\0');
        }
        for (;;) {
            const frame = await this.next();
            if (!frame || /^RECEIPT\nreceipt-id:sync$/.test(frame.head)) {
                return [...lines.sort(), `${this.name} ${frame ? 'open' : frame === null ? 'closed' : 'answers nothing'}`];
            }
            if (!this.session && /^ERROR\nmessage:Illegal command/.test(frame.head)) {
                return [...lines, `${this.name} open`]; // not logged in
            }
            lines.push(`${this.name}< ${this.noted(frame)}`);
        }
    }
}

class Dialogue {
    constructor(world, open, { clients = {}, patience = PATIENCE_MS }) {
        Object.assign(this, { world, open, patience, versions: clients });
        this.tag = `_${randomBytes(6).toString('hex')}`;
        this.clients = new Map();
        this.sessions = new Map();
        this.trace = [];
    }

    async client(name) {
        if (!this.clients.has(name)) {
            const version = this.versions[name] === undefined ? '1.2' : this.versions[name];
            this.clients.set(name, await new Client(this, name, version).open());
        }
        return this.clients.get(name);
    }

    fill(text) {
        const filled = text.replace(/\$([ab])(\d*)\.([a-z-]+)/g, (_, name, n, header) => {
            const { messages } = this.clients.get(name);
            return quote(messages.at(n ? Number(n) - 1 : -1)?.[header] ?? 'none');
        });
        return filled.replaceAll('$vhost', this.world.vhost).replace(/\$([a-z]+)/g, (_, name) => name + this.tag);
    }

    plain(text) {
        let out = text;
        for (const [session, name] of this.sessions) {
            out = out.replaceAll(session, `SESSION-${name}`);
        }
        return out
            .replaceAll(this.tag, '')
            .replaceAll(this.world.vhost, '/')
            .replace(/(x-death\.\d+\.time:)\d+/g, '$1*')
            .replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/g, 'UUID')
            .replace(/\b(stomp-subscription-|amq\.gen-|stomp\.gen-)[A-Za-z0-9_-]{22}/g, '$1*');
    }

    async step(line) {
        const [, name, what, rest] = /^([a-z])(>>|>|<|!) (.*)$/s.exec(line) ?? [];
        if (!name) {
            return this.world.act(this, ...line.split(/ (.*)/s));
        }
        const client = await this.client(name);
        if (what === '>') {
            client.peer.write(frameOf(this.fill(rest)));
        } else if (what === '>>') {
            client.peer.write(bytesOf(this.fill(rest)));
        } else if (what === '<') {
            return client.take(rest.split(' '));
        } else if (rest === 'sync') {
            return client.sync();
        } else if (rest === 'closed') {
            await client.peer.waitClosed({ timeout: this.patience }).catch(() => {});
        } else {
            client.peer.end();
            this.clients.delete(name);
        }
        return [];
    }

    async play(script) {
        for (const line of script.split('\n').map((text) => text.trim()).filter(Boolean)) {
            this.trace.push(...((await this.step(line)) ?? []));
        }
        for (const client of this.clients.values()) {
            this.trace.push(...(await client.sync()));
        }
        return this.trace;
    }

    end() {
        for (const { peer } of this.clients.values()) {
            peer.end();
        }
    }
}

// open(name) opens the connection of a client. Options: clients (their versions), patience (ms, where a server may keep silent).
export async function converse(world, open, script, options = {}) {
    const dialogue = new Dialogue(world, open, options);
    try {
        return await dialogue.play(script);
    } catch (error) {
        error.message += `\nuntil then: ${dialogue.trace.join('\n')}`;
        throw error;
    } finally {
        dialogue.end();
    }
}
