// What everybody gets who does something wrong: one ERROR that names the cause, and the receipt-id if there was one, then the close.
import assert from 'node:assert/strict';
import { Wire } from './wire.mjs';

// Connects (unless connect is null), does what is wrong, and asserts the answer. `answer`: { message, body (both text or pattern),
// receipt, code }. Gives the ERROR frame.
export async function refusal(gateway, { connect = {}, wrong, message, body = /./, receipt, code, timeout = 10000 }) {
    const wire = await Wire.open(gateway.url);
    if (connect) {
        await wire.connect(connect);
    }
    await wrong(wire);
    await wire.waitClosed({ timeout });
    const seen = wire.frames.map((frame) => frame.raw.toString().slice(0, 200));
    assert.deepEqual(
        wire.frames.map((frame) => frame.command),
        ['ERROR'],
        `one ERROR and nothing else: ${JSON.stringify(seen)}; closed ${JSON.stringify(wire.closed)}`,
    );
    const [error] = wire.frames;
    const check = (actual, wanted) => (typeof wanted === 'string' ? assert.equal(actual, wanted) : assert.match(actual, wanted));
    check(error.headers.message, message);
    check(error.body, body);
    assert.equal(error.headers['receipt-id'], receipt);
    assert.equal(error.headers['content-type'], 'text/plain');
    assert.equal(wire.closed.code, code, wire.closed.reason);
    assert.ok(wire.closed.reason.length > 0, 'the close has a reason');
    return error;
}

// The other side of a limit: what stands exactly on it goes through, and the session lives on.
export async function accepted(gateway, right) {
    const wire = await Wire.open(gateway.url);
    await wire.connect();
    await right(wire);
    wire.send('SEND', { destination: '/topic/still-here', receipt: 'still here' });
    await wire.receipt('still here');
    assert.deepEqual(
        wire.frames.filter((frame) => frame.command === 'ERROR'),
        [],
    );
    await wire.disconnect();
}
