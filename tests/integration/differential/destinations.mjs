// Where a frame goes: every kind of destination, right and in every wrong spelling.
const text = String.raw;

const send = (destination) => ({
    name: `SEND to ${destination}`,
    script: text`
        a> SEND|destination:${destination}|receipt:r||x
        a< RECEIPT`,
});
const subscribe = (destination) => ({
    name: `SUBSCRIBE to ${destination}`,
    script: text`
        a> SUBSCRIBE|id:s|destination:${destination}|receipt:r
        a< ERROR`,
});
// Where the plugin sends both: which comes first is chance.
const subscribeInVain = (name, destination) => ({
    name,
    script: text`
        a> SUBSCRIBE|id:s|destination:${destination}|receipt:r
        a< ERROR RECEIPT`,
});
const WRONG = [
    '/queue',
    '/queue/',
    '/queue//',
    '/queue/$q/b',
    '/topic',
    '/topic/',
    '/exchange',
    '/exchange/',
    '/exchange//k',
    '/amq',
    '/amq/',
    '/amq/queue',
    '/amq/queue/',
    '/amq/queue/$q/b',
    '/amq/$q',
    '/temp-queue/',
    '/temp-queue/$q',
    '/reply-queue',
    '/reply-queue/',
    '/foo',
    '/foo/bar',
    '/',
    '//',
    'queue/$q',
    '/Queue/$q',
    ' /queue/$q',
];

export default [
    ...WRONG.map(send),
    ...WRONG.map(subscribe),
    {
        name: 'a queue by SEND: declared durable, its message waits',
        script: text`
            a> SEND|destination:/queue/$q|receipt:r||hello
            a< RECEIPT
            look $q
            count $q 1`,
    },
    {
        name: 'a queue by a name without a slash, sent to and subscribed',
        script: text`
            a> SEND|destination:$q|receipt:r||hello
            a< RECEIPT
            look $q
            a> SUBSCRIBE|id:s|destination:$q|receipt:s
            a< RECEIPT
            a< MESSAGE
            count $q 0`,
    },
    {
        name: 'a queue by SUBSCRIBE: declared durable, kept when the subscriber leaves',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            look $q
            a> SEND|destination:/queue/$q||hello
            a< MESSAGE
            a> DISCONNECT|receipt:d
            a< RECEIPT
            look $q`,
    },
    {
        name: 'two names of a queue are one queue',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            a> SEND|destination:$q||one
            a< MESSAGE
            a> SEND|destination:/amq/queue/$q||two
            a< MESSAGE
            a> SEND|destination:/reply-queue/$q||three
            a< MESSAGE`,
    },
    {
        name: 'two subscribers share the messages of a queue',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            b> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            b< RECEIPT
            a> SEND|destination:/queue/$q||one
            a> SEND|destination:/queue/$q||two
            a< MESSAGE
            b< MESSAGE
            count $q 0`,
    },
    {
        name: '/amq/queue/ of a queue that exists, whatever its flags',
        script: text`
            make $q {"durable": false, "autoDelete": true, "maxPriority": 5}
            a> SEND|destination:/amq/queue/$q|receipt:r||x
            a< RECEIPT
            a> SUBSCRIBE|id:s|destination:/amq/queue/$q|receipt:s
            a< RECEIPT MESSAGE
            look $q`,
    },
    subscribeInVain('SUBSCRIBE to an /amq/queue/ that does not exist', '/amq/queue/$q'),
    {
        name: 'SEND to an /amq/queue/ that does not exist',
        script: text`
            a> SEND|destination:/amq/queue/$q|receipt:r||x
            a< RECEIPT
            look $q`,
    },
    {
        name: '/reply-queue/ of a queue with slashes and escapes in its name',
        script: text`
            make a/b%2F$q
            amqp {"key": "a/b%2F$q"}
            a> SUBSCRIBE|id:s|destination:/reply-queue/a/b%2F$q|receipt:s
            a< RECEIPT MESSAGE`,
    },
    subscribeInVain('SUBSCRIBE to a /reply-queue/ that does not exist', '/reply-queue/$q'),
    subscribeInVain('SUBSCRIBE to a queue of the broker itself', '/queue/amq.$q'),
    {
        name: 'SEND to a queue of the broker itself',
        script: text`
            a> SEND|destination:/queue/amq.$q|receipt:r
            a< RECEIPT`,
    },
    {
        name: 'a topic: who listens hears it',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t|receipt:s
            a< RECEIPT
            a> SEND|destination:/topic/$t||one
            a< MESSAGE
            b> SEND|destination:/exchange/amq.topic/$t||two
            a< MESSAGE`,
    },
    {
        name: 'a topic that nobody hears',
        script: text`
            a> SEND|destination:/topic/$t|receipt:r||x
            a< RECEIPT`,
    },
    {
        name: 'wildcards of a topic',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t.*|receipt:s
            a< RECEIPT
            b> SUBSCRIBE|id:s|destination:/topic/$t.#|receipt:s
            b< RECEIPT
            a> SEND|destination:/topic/$t.one||1
            a< MESSAGE
            b< MESSAGE
            a> SEND|destination:/topic/$t.one.two||2
            b< MESSAGE
            a> SEND|destination:/topic/$t||3
            b< MESSAGE`,
    },
    {
        name: 'SEND to a wildcard',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t.*|receipt:s
            a< RECEIPT
            a> SEND|destination:/topic/$t.*|receipt:r||x
            a< RECEIPT MESSAGE`,
    },
    {
        name: '%2F is a slash of a queue name, both ways',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/a%2F$q|receipt:s
            a< RECEIPT
            look a/$q
            a> SEND|destination:/queue/a%2F$q||x
            a< MESSAGE
            a> SEND|destination:$a.destination||again
            a< MESSAGE`,
    },
    {
        name: '%2F is a slash of a topic, both ways',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/a%2F$t|receipt:s
            a< RECEIPT
            a> SEND|destination:/topic/a%2F$t||x
            a< MESSAGE
            amqp {"exchange": "amq.topic", "key": "a/$t"}
            a< MESSAGE`,
    },
    {
        name: '%2f and other escapes stay as they are',
        script: text`
            a> SEND|destination:/queue/a%2f%41$q|receipt:r||x
            a< RECEIPT
            look a%2f%41$q`,
    },
    {
        name: 'a name with a percent sign, and the way back to it',
        script: text`
            make a%b$q
            a> SUBSCRIBE|id:s|destination:/amq/queue/a%b$q|receipt:s
            a< RECEIPT
            amqp {"key": "a%b$q"}
            a< MESSAGE
            a> SEND|destination:$a.destination|receipt:r||again
            a< RECEIPT MESSAGE
            look a%25b$q`,
        patience: 3000,
    },
    {
        name: 'a queue name in UTF-8',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/é€$q|receipt:s
            a< RECEIPT
            look é€$q
            a> SEND|destination:/queue/é€$q||x
            a< MESSAGE`,
    },
    {
        name: 'a topic in UTF-8, by AMQP',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t.*|receipt:s
            a< RECEIPT
            amqp {"exchange": "amq.topic", "key": "$t.é"}
            a< MESSAGE`,
    },
    {
        name: 'a queue name of 255 bytes',
        script: text`
            a> SEND|destination:/queue/$q{241*x}|receipt:r||x
            a< RECEIPT`,
    },
    {
        name: 'a queue name of 256 bytes',
        script: text`
            a> SEND|destination:/queue/$q{242*x}|receipt:r||x
            a< RECEIPT`,
    },
    {
        name: 'a blank inside a queue name',
        script: text`
            a> SEND|destination:/queue/a $q|receipt:r||x
            a< RECEIPT
            a> SUBSCRIBE|id:s|destination:/queue/a $q|receipt:s
            a< RECEIPT
            a< MESSAGE`,
    },
    {
        name: 'an exchange of type direct, with a key',
        script: text`
            exchange $x direct
            a> SUBSCRIBE|id:s|destination:/exchange/$x/k|receipt:s
            a< RECEIPT
            a> SEND|destination:/exchange/$x/k||one
            a< MESSAGE
            a> SEND|destination:/exchange/$x/other||two
            a> SEND|destination:/exchange/$x/k||three
            a< MESSAGE`,
    },
    {
        name: 'an exchange of type fanout, without a key',
        script: text`
            exchange $x fanout
            a> SUBSCRIBE|id:s|destination:/exchange/$x|receipt:s
            a< RECEIPT
            a> SEND|destination:/exchange/$x||one
            a< MESSAGE
            a> SEND|destination:/exchange/$x/k||two
            a< MESSAGE`,
    },
    {
        name: 'an exchange of type topic, with a wildcard',
        script: text`
            exchange $x topic
            a> SUBSCRIBE|id:s|destination:/exchange/$x/a.*|receipt:s
            a< RECEIPT
            a> SEND|destination:/exchange/$x/a.b||one
            a< MESSAGE`,
    },
    {
        name: 'an exchange by a destination with three parts',
        script: text`
            exchange $x topic
            a> SEND|destination:/exchange/$x/a/b|receipt:r||one
            a< RECEIPT`,
    },
    {
        name: 'a topic with a slash',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t/b|receipt:s
            a< RECEIPT`,
    },
    {
        name: 'SEND to an exchange that does not exist',
        script: text`
            a> SEND|destination:/exchange/$x/k|receipt:r||x
            a< RECEIPT`,
    },
    subscribeInVain('SUBSCRIBE to an exchange that does not exist', '/exchange/$x/k'),
    {
        name: "SUBSCRIBE to the broker's own events",
        script: text`
            a> SUBSCRIBE|id:s|destination:/exchange/amq.rabbitmq.trace/#|receipt:r
            a< RECEIPT`,
    },
    {
        name: 'SEND without a destination',
        script: text`
            a> SEND|receipt:r||x
            a< RECEIPT`,
    },
    {
        name: 'SUBSCRIBE without a destination',
        script: text`
            a> SUBSCRIBE|id:s|receipt:r
            a< RECEIPT`,
    },
    {
        name: 'SEND to a blank destination',
        script: text`
            a> SEND|destination:|receipt:r||x
            a< RECEIPT`,
    },
    {
        name: 'SUBSCRIBE to a blank destination',
        script: text`
            a> SUBSCRIBE|id:s|destination:|receipt:r
            a< RECEIPT`,
    },
    {
        name: 'a line feed in a destination',
        script: text`
            a> SEND|destination:/queue/a\\nb$q|receipt:r||x
            a< RECEIPT`,
    },
];
