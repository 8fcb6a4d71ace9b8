// The floor of floor.c: one send() per message and socket, or --gather, all of a turn at once.
import path from 'node:path';
import { Server } from './process.mjs';

async function start({ bin, dir, port, tls }, options) {
    const file = path.join(bin, 'bench/floor');
    const args = [String(port), ...options, ...(tls ? ['--tls', tls.cert, tls.key] : [])];
    const server = await new Server('floor', file, args, path.join(dir, 'floor.log')).listening();
    return { args: ['--url', `${tls ? 'wss' : 'ws'}://127.0.0.1:${port}/ws`], pids: { floor: server.pid }, stop: () => server.stop() };
}

export const floor = (context) => start(context, []);
export const gather = (context) => start(context, ['--gather']);
