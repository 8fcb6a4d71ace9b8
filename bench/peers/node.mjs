// The Node servers of this folder, each in one process.
import path from 'node:path';
import { Server, root } from './process.mjs';

async function start(name, { dir, port }) {
    const file = path.join(root, `bench/peers/${name}_server.mjs`);
    const env = { ...process.env, NODE_ENV: 'production' };
    return new Server(name, process.execPath, [file, String(port)], path.join(dir, `${name}.log`), { env }).listening();
}

export async function ws(context) {
    const server = await start('ws', context);
    const at = `ws://127.0.0.1:${context.port}`;
    return {
        args: ['--protocol', 'raw', '--url', `${at}/sub/%d`, '--publish-url', `${at}/pub/%d`],
        pids: { ws: server.pid },
        stop: () => server.stop(),
    };
}

export async function socketio(context) {
    const server = await start('socketio', context);
    return {
        args: ['--protocol', 'socketio', '--url', `ws://127.0.0.1:${context.port}/socket.io/?EIO=4&transport=websocket`],
        pids: { socketio: server.pid },
        stop: () => server.stop(),
    };
}
