// The scripts that judge others are judged here: a check that cannot fail is none.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { root } from '../lib/harness.mjs';

const folder = await mkdtemp(path.join(os.tmpdir(), 'stompgate-scripts-'));
after(() => rm(folder, { recursive: true, force: true }));

function run(file, args, options = {}) {
    return new Promise((resolve) => {
        const done = (error, stdout, stderr) => resolve({ code: error ? error.code : 0, out: stdout + stderr });
        const child = execFile(file, args, { timeout: 60000, ...options }, done);
        child.stdin.end(options.input);
    });
}

function script(name, args, options) {
    return run(path.join(root, 'scripts', name), args, options);
}

// A tree with nothing in it but these files.
async function tree(files) {
    const where = await mkdtemp(path.join(folder, 'tree-'));
    for (const part of ['common', 'stomp', 'amqp', 'persist', 'gateway/session']) {
        await mkdir(path.join(where, part), { recursive: true });
    }
    for (const [name, text] of Object.entries(files)) {
        await writeFile(path.join(where, name), text);
    }
    return where;
}

async function layers(files) {
    return script('check-layers', [await tree(files)]);
}

test('check-layers lets pass what the design allows', async () => {
    const answer = await layers({
        'common/slice.h': '#include <stddef.h>\n',
        'stomp/stomp.h': '#include "common/slice.h"\n',
        'amqp/broker.h': '#include <stdint.h>\n',
        'amqp/x_internal.h': '#include <amqp.h>\n',
        'amqp/x.c': '#include "amqp/x_internal.h"\n',
        'gateway/session/session.c': '#include "stomp/stomp.h"\n#include "amqp/broker.h"\n',
    });
    assert.deepEqual(answer, { code: 0, out: '' });
});

for (const [what, file, text, why] of [
    ['a foreign library in a session', 'gateway/session/a.c', '#include <uv.h>', /gateway\/session\/a\.c:1: .*knows no library/],
    ['a foreign library in a header', 'amqp/a.h', '#include <amqp.h>', /no foreign header in a header/],
    ['a foreign library in the wrong folder', 'amqp/a.c', '#include <libpq-fe.h>', /belongs to/],
    ['an arrow that points up', 'common/a.c', '#include "stomp/stomp.h"', /no such arrow/],
    ['more than libc in stomp', 'stomp/a.c', '#include <sys/socket.h>', /libc alone/],
    ['another folder behind its face', 'persist/a.c', '#include "amqp/codec.h"', /no such arrow/],
    ["another folder's internals", 'gateway/session/a.c', '#include "stomp/stomp_internal.h"', /no such arrow/],
    ['a relative path', 'stomp/a.c', '#include "stomp.h"', /root of the repository/],
]) {
    test(`check-layers finds ${what}`, async () => {
        const faces = { 'stomp/stomp.h': '', 'stomp/stomp_internal.h': '', 'amqp/codec.h': '' };
        const { code, out } = await layers({ ...faces, [file]: `${text}\n` });
        assert.equal(code, 1);
        assert.match(out, why);
    });
}

// A copy of what check-docs looks at, in which the text of one file is another.
async function docs(file, change) {
    const where = await mkdtemp(path.join(folder, 'docs-'));
    for (const part of ['common', 'amqp', 'gateway', 'persist', 'stomp', 'docs', 'bench', 'README.md', 'config.example.toml', 'docker-compose.yml', 'tests/transcripts']) {
        await cp(path.join(root, part), path.join(where, part), { recursive: true, filter: (file) => !file.endsWith('node_modules') });
    }
    // the tour names folders that it does not read
    for (const part of ['tests/integration', 'tests/clients', 'tests/spring', 'examples/chat']) {
        await mkdir(path.join(where, part), { recursive: true });
    }
    if (file) {
        const text = await readFile(path.join(where, file), 'utf8');
        const changed = change(text);
        assert.notEqual(changed, text, `nothing to change in ${file}`);
        await writeFile(path.join(where, file), changed);
    }
    return script('check-docs', [where]);
}

test('check-docs finds the documents as the code is', async () => {
    assert.deepEqual(await docs(), { code: 0, out: '' });
});

for (const [what, file, change, why] of [
    ['a metric of the gateway that is new', 'gateway/metrics.c', (t) => t.replace('{"sessions", "gauge"', '{"seances", "gauge"'), /metric stompgate_seances is missing/],
    ['a metric of the worker that is new', 'persist/store_metrics.c', (t) => t.replace('"rows_total"', '"new_total"'), /metric stompgate_store_new_total is missing/],
    ['a metric that has gone', 'persist/store_metrics.c', (t) => t.replace('"rows_total"', '"new_total"'), /no metric stompgate_store_rows_total/],
    ['a log event that is new', 'gateway/client.c', (t) => t.replace('"session.open"', '"session.new"'), /log event session\.new is missing/],
    ['a log event that has gone', 'gateway/client.c', (t) => t.replace('"session.open"', '"session.new"'), /no log event session\.open/],
    ['a log event behind a line break', 'amqp/conn.c', (t) => t.replace('"broker.open",', '\n  "broker.new",'), /log event broker\.new is missing/],
    ['a log event that is no literal', 'gateway/client.c', (t) => t.replace('"session.open"', 'EVENT'), /whose event is no literal/],
    ['a reason to close that is new', 'gateway/session/reason.c', (t) => t.replace('"heartbeat"', '"tired"'), /close reason tired is missing/],
    ['a close code that is new', 'gateway/session/reason.c', (t) => t.replace('return 4500;', 'return 4501;'), /close code 4501 is missing/],
    ['an error of a frame that is new', 'stomp/error.c', (t) => t.replace('"A header has an empty name"', '"No name"'), /error "No name" is missing/],
    ['a text of ERROR that is new', 'gateway/session/connect.c', (t) => t.replace('You must log in using CONNECT', 'First say CONNECT'), /text "First say CONNECT first" is missing/],
    ['a key that is new', 'common/config_table.c', (t) => t.replace('{KEY(broker, vhost)', '{KEY(broker, heap)'), /key broker\.heap is missing/],
    ['a key that has gone', 'common/config_table.c', (t) => t.replace('{KEY(broker, vhost)', '{KEY(broker, heap)'), /no key broker\.vhost/],
    ['a key of a route that is new', 'common/config_table.c', (t) => t.replace('{ROUTE(durable)', '{ROUTE(endures)'), /key route\.endures is missing/],
    ['a file of the tour that has gone', 'README.md', (t) => t.replace('`stomp/stomp.h`', '`stomp/stump.h`'), /names stomp\/stump\.h/],
    ['the second file of a cell of the tour', 'README.md', (t) => t.replace('`outq.h`', '`outk.h`'), /names gateway\/fanout\/outk\.h/],
    ['a link to nowhere', 'docs/OPERATIONS.md', (t) => t.replace('](PROTOCOL.md)', '](PROTOCOLS.md)'), /links to PROTOCOLS\.md/],
    ['a figure that nobody measured', 'docs/PERFORMANCE.md', (t) => t.replace('delivered/s', 'delivered/h'), /PERFORMANCE\.md: not what bench\/run --render/],
    ['a plot of other results', 'docs/performance/overview.svg', (t) => t.replace('<circle', '<ellipse'), /overview\.svg: not what/],
    ['a MUST whose transcript has gone', 'tests/transcripts/MUSTS.md', (t) => t.replace('`54-unsubscribe-no-id`', '`54-unsubscribe-without`'), /no transcript 54-unsubscribe-without/],
    ['a MUST without a transcript', 'tests/transcripts/MUSTS.md', (t) => t.replace('| `51-subscribe-no-destination` |', '| none yet |'), /no transcript for: SUBSCRIBE, needs a destination/],
    ['MUSTs that it cannot read any more', 'tests/transcripts/MUSTS.md', (t) => t.replaceAll('|', '!'), /fewer rows than STOMP has MUSTs/],
    ['code that it cannot read any more', 'common/config_table.c', () => 'int nothing;\n', /found no configuration keys/],
]) {
    test(`check-docs finds ${what}`, async () => {
        const { code, out } = await docs(file, change);
        assert.equal(code, 1, out);
        assert.match(out, why);
    });
}

function tap(input) {
    return run('awk', ['-f', path.join(root, 'scripts/tap.awk')], { input });
}

test('the counter takes leaves only, and a parent that failed by itself', async () => {
    const { out } = await tap(
        ['ok 1 - a', '    ok 1 - x', '    not ok 2 - y', '    1..2', 'not ok 2 - s', '    ok 1 - z', 'not ok 3 - t', 'ok 4 - u # SKIP', '1..4'].join('\n'),
    );
    assert.equal(out, '3 2 1 4 4\nnot ok y\nnot ok t\n');
});

test('the counter takes a file that ran nothing for a failure', async () => {
    const { out } = await tap('ok 1 - /x/chat.test.mjs\n1..1\n');
    assert.match(out, /^0 1 0 1 1\nnot ok .*ran no test/);
});

test('the counter tells planned tests that never ran', async () => {
    const { out } = await tap('1..3\nok 1 - a\n');
    assert.match(out, /^1 0 0 1 3\n/);
});

test('services name the port that is in use and the variable that moves it', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address();
    const env = { ...process.env, SG_PORT_BASE: '18700', SG_AMQP_PORT: String(port) };
    const where = path.join(folder, 'services');
    const { code, out } = await script('services', ['start', where], { env });
    await script('services', ['wipe', where], { env });
    taken.close();
    assert.equal(code, 1);
    assert.match(out, new RegExp(`port ${port}, meant for RabbitMQ \\(AMQP\\), is in use by another program; set SG_AMQP_PORT`));
});

test('scripts explain themselves and refuse what they do not know', async () => {
    for (const name of ['install', 'services', 'run', 'test']) {
        const { code, out } = await script(name, ['--help']);
        assert.equal(code, 0, name);
        assert.match(out, new RegExp(`scripts/${name}`));
    }
    assert.equal((await script('install', ['nonsense'])).code, 1);
    assert.equal((await script('services', ['nonsense', folder])).code, 2);
    assert.equal((await script('run', ['--nonsense'])).code, 2);
});
