// RabbitMQ with its Web STOMP plugin, by scripts/services: the broker of the gateway and the plugin in one.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { root } from './process.mjs';

const run = promisify(execFile);

// What RabbitMQ's guide to its runtime tells an administrator to set on a machine that is shared: a scheduler without work sleeps instead
// of spinning. Else a broker that gets ten messages a second burns more between them than for them. The same for gateway and plugin.
const ERLANG = '+sbwt none +sbwtdcpu none +sbwtdio none';

// Statistics of each queue and channel are emitted for the management UI, every 5 s by default.
const CONFIG = 'collect_statistics_interval = 60000';

function environment(file) {
    const lines = readFileSync(file, 'utf8').split('\n');
    return Object.fromEntries(lines.map((line) => /^(\w+)='?(.*?)'?$/.exec(line)).filter(Boolean).map(([, name, value]) => [name, value]));
}

export class Services {
    static settings = { erlang: ERLANG, rabbitmq_conf: CONFIG };

    constructor(dir) {
        this.dir = dir;
        this.script = path.join(root, 'scripts/services');
        this.env = {
            ...process.env,
            SG_PORT_BASE: process.env.SG_BENCH_PORT_BASE ?? '8700',
            SG_RABBIT_ERL_ARGS: process.env.SG_RABBIT_ERL_ARGS ?? ERLANG,
            SG_RABBIT_CONF: process.env.SG_RABBIT_CONF ?? CONFIG,
        };
    }

    async start() {
        await run(this.script, ['start', this.dir, '--web-stomp'], { env: this.env, timeout: 240000 });
        this.ports = environment(path.join(this.dir, 'env'));
        this.find();
    }

    // The broker's pid, which is another one after a restart.
    find() {
        this.pid = Number(readFileSync(path.join(this.dir, 'pid/rabbitmq'), 'utf8').split(' ')[0]);
    }

    stop() {
        return run(this.script, ['stop', this.dir], { env: this.env, timeout: 120000 });
    }

    // The versions as the broker tells them itself.
    async overview() {
        const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`;
        const url = `http://127.0.0.1:${this.ports.SG_MANAGEMENT_PORT}/api/overview`;
        return (await fetch(url, { headers: { authorization } })).json();
    }
}
