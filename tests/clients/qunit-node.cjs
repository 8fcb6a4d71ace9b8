// For qunit.test.mjs: the tests of @stomp/stompjs 4.0.8 in a Node of their own, as QUnit's command line runs them: with what the package's
// config/node-config.js sets, but for the server. Prints what came of it as JSON.
const { readdirSync, readFileSync } = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

const config = JSON.parse(process.argv[2]);
const QUnit = require(path.join(config.qunit, 'qunit.js'));

// A browser's WebSocket throws nothing when nobody listens for its errors.
class Ws extends require('ws') {
    constructor(...args) {
        super(...args);
        this.on('error', () => {});
    }
}

// Without one the client takes the package `websocket`, as it does in every Node of its time.
globalThis.WebSocket = config.how === 'ws' ? Ws : undefined;
globalThis.QUnit = QUnit;
globalThis.TEST = { ...config, debug() {} };
globalThis.Stomp = require(config.folder);
globalThis.badStompClient = () => Stomp.client(TEST.badUrl);
globalThis.stompClient = () => Stomp.client(TEST.url);

const results = [];
QUnit.config.autostart = false;
QUnit.config.testTimeout = 10000;
QUnit.on('testEnd', (result) => results.push(result));
QUnit.on('runEnd', () => {
    process.stdout.write(JSON.stringify(results), () => process.exit(0)); // its clients would keep it alive
});

for (const name of readdirSync(path.join(config.folder, 'tests/unit'))) {
    const file = path.join(config.folder, 'tests/unit', name);
    vm.runInThisContext(readFileSync(file, 'utf8').replace(/^\ufeff/, ''), { filename: file });
}
QUnit.start();
