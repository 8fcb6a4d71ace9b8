// What was measured, on what machine.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { cpuShare, root, Services } from './peers.mjs';

const run = promisify(execFile);

async function capture(file, args) {
    const { stdout, stderr } = await run(file, args, { cwd: root }).catch(() => ({ stdout: '', stderr: '' }));
    return (stdout || stderr).trim();
}

// What is measured is a file. The checkout says what it was made from only where bench/run built it just now.
async function measured(bin) {
    const file = path.join(bin, 'stompgate');
    const commit = process.env.SG_BENCH_BUILT ? await capture('git', ['describe', '--always', '--dirty']) : 'unknown: built elsewhere';
    return {
        stompgate: await capture(file, ['--version']),
        commit,
        sha256: createHash('sha256').update(readFileSync(file)).digest('hex'),
    };
}

function npmVersion(name) {
    try {
        return JSON.parse(readFileSync(path.join(root, 'bench/peers/node_modules', name, 'package.json'), 'utf8')).version;
    } catch {
        return '';
    }
}

// Limits of this process, by name in /proc/self/limits.
export function openFiles() {
    const line = /Max open files\s+\d+\s+(\S+)/.exec(readFileSync('/proc/self/limits', 'utf8'));
    return line?.[1] === 'unlimited' ? Infinity : Number(line?.[1]);
}

export async function facts(bin, services) {
    const overview = await services.overview();
    return {
        cpu: cpus()[0].model,
        cores: cpus().length,
        memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
        kernel: release(),
        distribution: /PRETTY_NAME="(.*)"/.exec(readFileSync('/etc/os-release', 'utf8'))?.[1],
        open_files: openFiles(),
        ...(await measured(bin)),
        compiler: (await capture('gcc', ['--version'])).split('\n')[0],
        libwebsockets: await capture('pkg-config', ['--modversion', 'libwebsockets']),
        openssl: (await capture('openssl', ['version'])).split(' ')[1],
        rabbitmq: overview.rabbitmq_version,
        erlang: overview.erlang_version,
        broker_settings: Services.settings,
        nginx: (await capture('/usr/sbin/nginx', ['-v'])).replace(/^.*\//, ''),
        nchan: await capture('dpkg-query', ['-W', '-f', '${Version}', 'libnginx-mod-nchan']),
        node: process.versions.node,
        ws: npmVersion('ws'),
        socketio: npmVersion('socket.io'),
    };
}

// Of one core, with no connection: what of the broker's CPU at a low rate is not the messages'.
export async function idleBroker(services, seconds) {
    return { seconds, cpu_share: await cpuShare(services.pid, seconds * 1000) };
}
