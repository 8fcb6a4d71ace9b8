// stompgate, and the plugin of the broker that stands behind it.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { Server, Unavailable, until } from './process.mjs';

const run = promisify(execFile);

function config({ port, tlsPort, amqpPort, threads, tls, extra }) {
    return `
[gateway]
name = "bench"
bind = "127.0.0.1"
port = ${port}
path = "/ws"
anonymous = true
threads = ${threads}
drain_ms = 0
log_level = "info"

[broker]
hosts = ["127.0.0.1:${amqpPort}"]
user = "guest"
password = "guest"
${extra}${
    tls
        ? `
[tls]
enabled = true
bind = "127.0.0.1"
port = ${tlsPort}
certificate = "${tls.cert}"
key = "${tls.key}"
`
        : ''
}`;
}

// A build without TLS does not know the keys.
async function checkConfig(file, args) {
    await run(file, ['--check-config', ...args]).catch((error) => {
        throw new Unavailable(`this build refuses the configuration: ${error.stderr.trim()}`);
    });
}

// With tls, a second port: the first goes on without. `extra`: lines of [broker].
export async function gateway({ services, bin, dir, port, tlsPort, threads = 1, tls, extra = '' }) {
    const file = path.join(dir, 'gateway.toml');
    const program = path.join(bin, 'stompgate');
    const args = ['--config', file];
    writeFileSync(file, config({ port, tlsPort, amqpPort: services.ports.SG_AMQP_PORT, threads, tls, extra }));
    if (tls) {
        await checkConfig(program, args);
    }
    const server = await new Server('gateway', program, args, path.join(dir, 'gateway.log')).listening();
    try {
        await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => ({}))).ok, 'the gateway to be ready');
    } catch (error) {
        await server.stop();
        throw error;
    }
    return {
        args: ['--url', tls ? `wss://127.0.0.1:${tlsPort}/ws` : `ws://127.0.0.1:${port}/ws`],
        pids: { gateway: server.pid, broker: services.pid },
        stop: () => server.stop(),
    };
}

export async function plugin({ services }) {
    const url = `ws://127.0.0.1:${services.ports.SG_WEB_STOMP_PORT}/ws`;
    return { args: ['--url', url, '--login', 'guest', '--passcode', 'guest'], pids: { broker: services.pid }, stop: async () => {} };
}
