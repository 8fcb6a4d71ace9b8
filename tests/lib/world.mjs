// What an administrator and plain AMQP do and see beside the conversations of dialogue.mjs; its table says which lines there are.
import { waitFor } from './harness.mjs';

const DEADLINE_MS = 5000;

const json = (text, otherwise = {}) => (text ? JSON.parse(text) : otherwise);

// 'a b {…}' → ['a', 'b', '{…}']: words up to the first that is JSON.
function wordsOf(text = '') {
    const at = text.search(/(^| )\{/);
    const words = (at < 0 ? text : text.slice(0, at)).split(' ').filter(Boolean);
    return at < 0 ? words : [...words, text.slice(at).trim()];
}

export class World {
    constructor(harness) {
        this.management = harness.management;
        this.vhost = harness.vhost;
        this.harness = harness;
    }

    static async open(harness) {
        const world = new World(harness);
        world.connection = await harness.amqp();
        world.channel = await world.connection.createChannel();
        return world;
    }

    at(kind, name) {
        return `/${kind}/${encodeURIComponent(this.vhost)}/${encodeURIComponent(name)}`;
    }

    // One line of a conversation. Gives what is to be noted.
    async act(dialogue, action, text) {
        const verb = this[`_${action}`];
        if (!verb) {
            throw new Error(`a conversation has no line that begins with ${JSON.stringify(action)}`);
        }
        const lines = (await verb.call(this, ...wordsOf(dialogue.fill(text ?? '')))) ?? [];
        return lines.map((line) => dialogue.plain(`${action} ${line}`));
    }

    // A failure costs a channel: each of these has one of its own.
    async alone(use) {
        const channel = await this.connection.createChannel();
        channel.on('error', () => {});
        const result = await use(channel);
        await channel.close().catch(() => {});
        return result;
    }

    async _amqp(text) {
        const { exchange = '', key = '', body = 'body', ...options } = JSON.parse(text);
        this.channel.publish(exchange, key, Buffer.from(body), options);
        await this.alone((channel) => channel.checkExchange('amq.topic')); // a turn of the broker
    }

    async _make(name, options) {
        await this.channel.assertQueue(name, json(options));
    }

    async _exchange(name, type, internal) {
        await this.channel.assertExchange(name, type, { internal: internal === 'internal' });
    }

    // An application takes a request from a queue and answers it.
    async _answer(name, text) {
        const request = await this.channel.get(name, { noAck: true });
        const { body, ...options } = json(text);
        this.channel.publish('', request.properties.replyTo, Buffer.from(body), options);
    }

    async _bind(queue, exchange, key = '') {
        await this.channel.bindQueue(queue, exchange, key);
    }

    async _delete(name) {
        await this.channel.deleteQueue(name);
    }

    async _unexchange(name) {
        await this.channel.deleteExchange(name);
    }

    // Messages that are ready; undefined when there is no queue.
    ready(name) {
        return this.alone((channel) =>
            channel.checkQueue(name).then(
                ({ messageCount }) => messageCount,
                () => undefined,
            ),
        );
    }

    async _count(name, wanted) {
        let n;
        const isThere = async () => (n = await this.ready(name)) === Number(wanted);
        await waitFor(isThere, { timeout: DEADLINE_MS }).catch(() => {});
        return [`${name}: ${n}`];
    }

    async _gone(name) {
        const isGone = async () => (await this.management.get(this.at('queues', name))) === null;
        return waitFor(isGone, { timeout: DEADLINE_MS }).then(
            () => [`${name}: gone`],
            () => [`${name}: still there`],
        );
    }

    async _comes(name) {
        const isThere = async () => (await this.management.get(this.at('queues', name))) !== null;
        return waitFor(isThere, { timeout: DEADLINE_MS }).then(
            () => [`${name}: there`],
            () => [`${name}: gone`],
        );
    }

    async _get(name) {
        const message = await this.channel.get(name, { noAck: true });
        if (!message) {
            return [`${name}: empty`];
        }
        const { headers, ...properties } = message.properties;
        const set = Object.entries(properties).filter(([, value]) => value !== undefined && value !== null);
        const told = (pairs) => JSON.stringify(Object.fromEntries(pairs));
        return [`${name}: ${told(set)} ${told(Object.entries(headers ?? {}))} ${message.content}`];
    }

    async describe(name) {
        const queue = await this.management.get(this.at('queues', name));
        if (queue === null) {
            return `${name}: none`;
        }
        const bindings = await this.management.get(`${this.at('queues', name)}/bindings`);
        const flags = ['durable', 'exclusive', 'auto_delete'].filter((flag) => queue[flag]);
        const args = Object.keys(queue.arguments).length > 0 ? ` ${JSON.stringify(queue.arguments)}` : '';
        const bound = bindings
            .filter(({ source }) => source !== '')
            .map(({ source, routing_key: key, arguments: a }) => ` <- ${source} ${key}${Object.keys(a).length > 0 ? JSON.stringify(a) : ''}`);
        return `${name}: ${flags.join(' ') || 'no flags'}${args}${bound.sort().join('')}`;
    }

    async boundTo(exchange, key) {
        const all = (await this.management.get(`${this.at('exchanges', exchange)}/bindings/source`)) ?? [];
        return all.filter((one) => one.routing_key === (key === '-' ? '' : key) && one.destination_type === 'queue').map((one) => one.destination);
    }

    // Their number alone: one of two that make the same queue is one.
    async _queues(exchange, key) {
        return [`${(await this.boundTo(exchange, key)).length}`];
    }

    async _left(name, key) {
        const isEmpty = async () => (await this.boundTo(name, key)).length === 0;
        await waitFor(isEmpty, { timeout: DEADLINE_MS }).catch(() => {});
        return this._look(name, key);
    }

    async _look(name, key) {
        if (key === undefined) {
            return [await this.describe(name)];
        }
        const queues = await this.boundTo(name, key);
        const lines = await Promise.all(queues.map((queue) => this.describe(queue)));
        return lines.length > 0 ? lines.sort() : [`${name} ${key}: nothing is bound`];
    }
}
