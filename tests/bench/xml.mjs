// Is it well-formed? Enough of XML for what plot.mjs writes: tags that close in order, attributes in quotes, entities that are known.
import assert from 'node:assert/strict';

const TAG = /<(\/?)([a-z]+)((?:\s+[A-Za-z0-9:-]+="[^"<]*")*)\s*(\/?)>/y;

export function checkXml(text) {
    const open = [];
    let at = 0;
    let roots = 0;
    while (at < text.length) {
        const next = text.indexOf('<', at);
        const between = text.slice(at, next < 0 ? undefined : next);
        assert.doesNotMatch(between, /&(?!amp;|lt;|gt;|quot;)/, `a bare & in: ${between}`);
        if (next < 0) {
            assert.match(between, /^\s*$/);
            break;
        }
        TAG.lastIndex = next;
        const tag = TAG.exec(text);
        assert.ok(tag, `no tag: ${text.slice(next, next + 80)}`);
        const [whole, isEnd, name, attributes, isEmpty] = tag;
        const keys = [...attributes.matchAll(/([A-Za-z0-9:-]+)=/g)].map(([, key]) => key);
        assert.equal(new Set(keys).size, keys.length, `an attribute twice: ${whole}`);
        if (isEnd) {
            assert.equal(open.pop(), name, `closes another: ${whole}`);
        } else if (!isEmpty) {
            roots += open.length === 0 ? 1 : 0;
            open.push(name);
        }
        at = next + whole.length;
    }
    assert.deepEqual(open, []);
    assert.equal(roots, 1);
}
