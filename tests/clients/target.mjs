// Which server the suites of this folder that try queues ask: a gateway of ours, or, with STOMPGATE_CLIENTS=plugin in the environment,
// RabbitMQ's own STOMP plugins, which is how the suites themselves are tried (STOMPGATE_PEER_STOMP and STOMPGATE_PEER_WEB_STOMP:
// host:port; `scripts/services start DIR --stomp --web-stomp` has both).
import { harness } from '../lib/harness.mjs';

export const isPlugin = process.env.STOMPGATE_CLIENTS === 'plugin';

// Clients of RabbitMQ's plugin expect to reach all that their user may.
const everybody = { send: ['*'], subscribe: ['*'], queues: ['*'] };

export const config = {
    tcp: { enabled: true, port: 0 },
    heartbeat: { send_ms: 1000, receive_ms: 1000 },
    user: [{ login: 'guest', password: 'guest' }],
    route: ['/topic/', '/exchange/', '/queue/', '/amq/queue/'].map((prefix) => ({ prefix, ...everybody })),
};

class Plugin {
    url = `ws://${process.env.STOMPGATE_PEER_WEB_STOMP}/ws`;
}

// { h, gw, credentials }: gw.url is the WebSocket's, gw.tcpPort that of plain STOMP.
export async function target(extra = {}) {
    const h = await harness({ config });
    const gw = isPlugin ? new Plugin() : await h.gateway(extra);
    return { h, gw, credentials: { login: 'guest', passcode: 'guest' } };
}
