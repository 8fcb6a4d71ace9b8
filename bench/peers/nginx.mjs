// Nchan in nginx, from Debian's packages: raw WebSocket, one worker, configured for speed as its manual has it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { Server, until } from './process.mjs';

const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

function config(dir, port) {
    return `
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${dir}/nginx.pid;
error_log stderr warn;
events {
    worker_connections 20000;
    use epoll;
}
http {
    access_log off;
    tcp_nodelay on;
    client_max_body_size 2m;
${TEMPORARY.map((name) => `    ${name}_temp_path ${dir}/nginx_${name};`).join('\n')}
    nchan_shared_memory_size 256M;
    server {
        listen 127.0.0.1:${port} backlog=1024;
        location ~ ^/sub/(.+)$ {
            nchan_subscriber websocket;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
            nchan_websocket_ping_interval 0;
        }
        location ~ ^/pub/(.+)$ {
            nchan_publisher websocket;
            nchan_channel_id $1;
            nchan_message_buffer_length 4;
            nchan_message_timeout 5s;
        }
    }
}
`;
}

function answers(port) {
    return new Promise((resolve) => {
        const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
        socket.on('close', () => resolve(false)).end();
    });
}

// The worker does the work; the master has the port open before there is one.
function worker(master) {
    return Number(readFileSync(`/proc/${master}/task/${master}/children`, 'utf8').trim().split(' ').at(-1));
}

export async function nchan({ dir, port }) {
    const file = path.join(dir, 'nginx.conf');
    mkdirSync(dir, { recursive: true });
    writeFileSync(file, config(dir, port));
    const server = new Server('nginx', '/usr/sbin/nginx', ['-p', dir, '-c', file], path.join(dir, 'nginx.log'));
    await server.listening(() => answers(port));
    await until(() => worker(server.pid) > 0, 'a worker of nginx');
    return {
        args: ['--protocol', 'raw', '--url', `ws://127.0.0.1:${port}/sub/%d`, '--publish-url', `ws://127.0.0.1:${port}/pub/%d`],
        pids: { nginx: worker(server.pid) },
        stop: () => server.stop(),
    };
}
