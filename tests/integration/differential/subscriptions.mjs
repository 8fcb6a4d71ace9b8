// SUBSCRIBE and UNSUBSCRIBE in their forms, requests and replies, and what an administrator does under a subscriber.
const text = String.raw;

export default [
    ...['1.0', '1.1', '1.2'].map((version) => ({
        name: `SUBSCRIBE and MESSAGE in ${version}`,
        clients: { a: version },
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q|foo:bar||x
            a< MESSAGE
            a> UNSUBSCRIBE|id:s|receipt:u
            a< RECEIPT
            a> SEND|destination:/queue/$q|receipt:r||y
            a< RECEIPT
            count $q 1`,
    })),
    ...['1.0', '1.1', '1.2'].map((version) => ({
        name: `SUBSCRIBE without an id in ${version}`,
        clients: { a: version },
        script: text`
            a> SUBSCRIBE|destination:/queue/$q|receipt:s
            a< RECEIPT`,
    })),
    {
        name: 'SUBSCRIBE without an id, UNSUBSCRIBE by destination',
        clients: { a: '1.0' },
        script: text`
            a> SUBSCRIBE|destination:/topic/$t|receipt:s
            a< RECEIPT
            a> SEND|destination:/topic/$t||x
            a< MESSAGE
            a> UNSUBSCRIBE|destination:/topic/$t|receipt:u
            a< RECEIPT
            a> SEND|destination:/topic/$t|receipt:r||y
            a< RECEIPT`,
    },
    {
        name: 'an id for the second time',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:1
            a< RECEIPT
            a> SUBSCRIBE|id:s|destination:/queue/$p|receipt:2
            a< ERROR RECEIPT
            look $p`,
    },
    {
        name: 'an id for the second time, of topics',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t|receipt:1
            a< RECEIPT
            a> SUBSCRIBE|id:s|destination:/topic/$u|receipt:2
            a< ERROR RECEIPT`,
    },
    {
        name: 'a destination for the second time, without ids',
        clients: { a: '1.0' },
        script: text`
            a> SUBSCRIBE|destination:/queue/$q|receipt:1
            a< RECEIPT
            a> SUBSCRIBE|destination:/queue/$q|receipt:2
            a< ERROR RECEIPT`,
    },
    {
        name: 'an id again after its UNSUBSCRIBE',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:1
            a< RECEIPT
            a> UNSUBSCRIBE|id:s|receipt:2
            a< RECEIPT
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:3
            a< RECEIPT
            a> SEND|destination:/queue/$q||x
            a< MESSAGE`,
    },
    {
        name: 'two subscriptions that hear the same topic',
        script: text`
            a> SUBSCRIBE|id:1|destination:/topic/$t|receipt:1
            a< RECEIPT
            a> SUBSCRIBE|id:2|destination:/topic/#.$t|receipt:2
            a< RECEIPT
            a> SEND|destination:/topic/$t||x
            a< MESSAGE MESSAGE`,
    },
    ...[['what must be escaped', text`a\\cb\\\\c`], ['a line feed', text`a\\nb`], ['@@', 'a@@b']].map(([what, id]) => ({
        name: `an id with ${what}`,
        script: text`
            a> SUBSCRIBE|id:${id}|destination:/queue/$q|receipt:1|ack:client
            a< RECEIPT
            amqp {"key": "$q"}
            a< MESSAGE
            a> ACK|id:$a.ack|receipt:3
            a< RECEIPT`,
        patience: 3000,
    })),
    ...['selector:a = 1', 'no-local:true', 'activemq.prefetchSize:1'].map((header) => ({
        name: `SUBSCRIBE with ${header}`,
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t|${header}|receipt:s
            a< RECEIPT
            a> SEND|destination:/topic/$t||x
            a< MESSAGE`,
    })),
    {
        name: 'an ACK whose subscription and number are right, of a session that was before',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|ack:client|receipt:1
            a< RECEIPT
            amqp {"key": "$q"}
            a< MESSAGE
            a> ACK|id:T_s@@session-before@@1|receipt:3
            a< RECEIPT`,
    },
    {
        name: 'x-priority: who has more gets more',
        script: text`
            a> SUBSCRIBE|id:low|destination:/queue/$q|x-priority:1|receipt:1
            a< RECEIPT
            b> SUBSCRIBE|id:high|destination:/queue/$q|x-priority:9|receipt:2
            b< RECEIPT
            a> SEND|destination:/queue/$q||1
            b< MESSAGE
            a> SEND|destination:/queue/$q||2
            b< MESSAGE`,
        patience: 3000,
    },
    {
        name: 'UNSUBSCRIBE of an id that is not there',
        script: text`
            a> UNSUBSCRIBE|id:s|receipt:u
            a< RECEIPT`,
    },
    {
        name: 'UNSUBSCRIBE twice',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q
            a> UNSUBSCRIBE|id:s|receipt:1
            a< RECEIPT
            a> UNSUBSCRIBE|id:s|receipt:2
            a< RECEIPT`,
    },
    {
        name: 'UNSUBSCRIBE of nothing',
        script: text`
            a> UNSUBSCRIBE|receipt:u
            a< RECEIPT`,
    },
    {
        name: 'UNSUBSCRIBE by destination of a subscription with an id',
        clients: { a: '1.0' },
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t|receipt:s
            a< RECEIPT
            a> UNSUBSCRIBE|destination:/topic/$t|receipt:u
            a< RECEIPT`,
    },
    {
        name: 'a request and its reply',
        script: text`
            b> SUBSCRIBE|id:service|destination:/queue/$q|receipt:s
            b< RECEIPT
            a> SEND|destination:/queue/$q|reply-to:/temp-queue/answers|correlation-id:c1||ask
            b< MESSAGE
            b> SEND|destination:$b.reply-to|correlation-id:c1||answer
            a< MESSAGE`,
    },
    {
        name: 'two requests by one temporary queue, one by another',
        script: text`
            b> SUBSCRIBE|id:service|destination:/queue/$q|receipt:s
            b< RECEIPT
            a> SEND|destination:/queue/$q|reply-to:/temp-queue/one||1
            b< MESSAGE
            a> SEND|destination:/queue/$q|reply-to:/temp-queue/one||2
            b< MESSAGE
            a> SEND|destination:/queue/$q|reply-to:/temp-queue/two||3
            b< MESSAGE
            b> SEND|destination:$b1.reply-to||re 1
            a< MESSAGE
            b> SEND|destination:$b2.reply-to||re 2
            a< MESSAGE
            b> SEND|destination:$b3.reply-to||re 3
            a< MESSAGE`,
    },
    {
        name: 'a request of 1.0 to a topic',
        clients: { a: '1.0', b: '1.1' },
        script: text`
            b> SUBSCRIBE|id:service|destination:/topic/$t|receipt:s
            b< RECEIPT
            a> SEND|destination:/topic/$t|reply-to:/temp-queue/answers||ask
            b< MESSAGE
            b> SEND|destination:$b.reply-to||answer
            a< MESSAGE`,
    },
    {
        name: 'a request in a transaction',
        script: text`
            b> SUBSCRIBE|id:service|destination:/queue/$q|receipt:s
            b< RECEIPT
            a> BEGIN|transaction:t
            a> SEND|destination:/queue/$q|reply-to:/temp-queue/answers|transaction:t||ask
            a> COMMIT|transaction:t
            b< MESSAGE
            b> SEND|destination:$b.reply-to||answer
            a< MESSAGE`,
    },
    {
        name: 'a reply to somebody who has left',
        script: text`
            b> SUBSCRIBE|id:service|destination:/queue/$q|receipt:s
            b< RECEIPT
            a> SEND|destination:/queue/$q|reply-to:/temp-queue/answers||ask
            b< MESSAGE
            a> DISCONNECT|receipt:d
            a< RECEIPT
            a! closed
            b> SEND|destination:$b.reply-to|receipt:r||answer
            b< RECEIPT`,
    },
    {
        name: 'an application answers by AMQP',
        script: text`
            make $q
            a> SEND|destination:/amq/queue/$q|reply-to:/temp-queue/answers|receipt:r||ask
            a< RECEIPT
            answer $q {"correlationId": "c9", "body": "answer"}
            a< MESSAGE`,
    },
    {
        name: 'UNSUBSCRIBE of a temporary queue',
        script: text`
            a> SEND|destination:/queue/$q|reply-to:/temp-queue/answers||ask
            a> UNSUBSCRIBE|id:/temp-queue/answers|receipt:u
            a< RECEIPT`,
    },
    {
        name: 'SUBSCRIBE with the id of a temporary queue',
        script: text`
            a> SUBSCRIBE|id:/temp-queue/x|destination:/queue/$q|receipt:s
            a< RECEIPT`,
    },
    {
        name: 'a queue that had to exist is deleted under its subscriber',
        script: text`
            make $q
            a> SUBSCRIBE|id:s|destination:/amq/queue/$q|receipt:s
            a< RECEIPT
            delete $q
            a< ERROR`,
    },
    {
        name: 'a declared queue is deleted under its subscriber',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            delete $q
            comes $q
            a> SEND|destination:/queue/$q|receipt:r||x
            a< RECEIPT MESSAGE`,
        patience: 3000,
    },
    {
        name: 'an exchange is deleted: SEND',
        script: text`
            exchange $x direct
            a> SEND|destination:/exchange/$x/k|receipt:1||x
            a< RECEIPT
            unexchange $x
            a> SEND|destination:/exchange/$x/k|receipt:2||x
            a< RECEIPT`,
    },
    {
        name: 'a full queue that refuses',
        script: text`
            make $q {"maxLength": 1, "arguments": {"x-overflow": "reject-publish"}}
            a> SEND|destination:/amq/queue/$q|receipt:1||x
            a< RECEIPT
            a> SEND|destination:/amq/queue/$q|receipt:2||x
            a< RECEIPT`,
        patience: 3000,
    },
    {
        name: 'an internal exchange',
        script: text`
            exchange $x direct internal
            a> SEND|destination:/exchange/$x/k|receipt:r||x
            a< RECEIPT`,
    },
];
