// Who has what, and who gave it back: acks in all versions and all wrong forms, transactions.
const text = String.raw;

const SUBSCRIBED = (mode, more = '') => text`
    a> SUBSCRIBE|id:s|destination:/queue/$q|ack:${mode}${more}|receipt:s
    a< RECEIPT`;
const THREE = text`
    a> SEND|destination:/queue/$q||1
    a< MESSAGE
    a> SEND|destination:/queue/$q||2
    a< MESSAGE
    a> SEND|destination:/queue/$q||3
    a< MESSAGE`;
const LEFT = text`
    a> DISCONNECT|receipt:d
    a< RECEIPT
    a! closed`;
const wrong = (name, frame, mode = 'client') => ({
    name,
    script: text`
        ${SUBSCRIBED(mode)}
        a> SEND|destination:/queue/$q||1
        a< MESSAGE
        a> ${frame}|receipt:r
        a< ERROR RECEIPT`,
});

export default [
    {
        name: 'auto: nothing to do',
        script: text`
            ${SUBSCRIBED('auto')}
            ${THREE}
            ${LEFT}
            count $q 0`,
    },
    {
        name: 'client: an ACK counts for all before it',
        script: text`
            ${SUBSCRIBED('client')}
            ${THREE}
            a> ACK|id:$a2.ack|receipt:r
            a< RECEIPT
            ${LEFT}
            count $q 1
            get $q`,
    },
    {
        name: 'client-individual: an ACK counts for one',
        script: text`
            ${SUBSCRIBED('client-individual')}
            ${THREE}
            a> ACK|id:$a2.ack|receipt:r
            a< RECEIPT
            ${LEFT}
            count $q 2`,
    },
    {
        name: 'client: what nobody acked goes back and comes again as redelivered',
        script: text`
            ${SUBSCRIBED('client')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            ${LEFT}
            b> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            b< RECEIPT
            b< MESSAGE`,
    },
    {
        name: 'client: the same when the client is cut off',
        script: text`
            ${SUBSCRIBED('client')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a! end
            count $q 1`,
    },
    {
        name: 'an ACK right before DISCONNECT counts',
        script: text`
            ${SUBSCRIBED('client')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> ACK|id:$a.ack
            ${LEFT}
            count $q 0`,
    },
    {
        name: 'ACK of 1.1: message-id and subscription',
        clients: { a: '1.1' },
        script: text`
            ${SUBSCRIBED('client')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> ACK|message-id:$a.message-id|subscription:s|receipt:r
            a< RECEIPT
            ${LEFT}
            count $q 0`,
    },
    {
        name: 'ACK of 1.1 without subscription, as Spring has it',
        clients: { a: '1.1' },
        script: text`
            ${SUBSCRIBED('client')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> ACK|message-id:$a.message-id|receipt:r
            a< RECEIPT
            ${LEFT}
            count $q 0`,
    },
    {
        name: 'ACK of 1.0: message-id, and a subscription without an id',
        clients: { a: '1.0' },
        script: text`
            a> SUBSCRIBE|destination:/queue/$q|ack:client|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> ACK|message-id:$a.message-id|receipt:r
            a< RECEIPT
            ${LEFT}
            count $q 0`,
    },
    {
        name: 'NACK of 1.0',
        clients: { a: '1.0' },
        script: text`
            ${SUBSCRIBED('client')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> NACK|message-id:$a.message-id|receipt:r
            a< RECEIPT MESSAGE`,
    },
    {
        name: 'NACK of 1.1',
        clients: { a: '1.1' },
        script: text`
            ${SUBSCRIBED('client-individual')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> NACK|message-id:$a.message-id|subscription:s|receipt:r
            a< RECEIPT MESSAGE`,
    },
    {
        name: 'NACK puts back, and it comes again',
        script: text`
            ${SUBSCRIBED('client-individual')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> NACK|id:$a.ack|receipt:r
            a< RECEIPT MESSAGE
            a> ACK|id:$a.ack|receipt:k
            a< RECEIPT
            count $q 0`,
    },
    {
        name: 'NACK with requeue:true',
        script: text`
            ${SUBSCRIBED('client-individual')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> NACK|id:$a.ack|requeue:true|receipt:r
            a< RECEIPT MESSAGE`,
    },
    {
        name: 'NACK with requeue:false throws away',
        script: text`
            ${SUBSCRIBED('client-individual')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> NACK|id:$a.ack|requeue:false|receipt:r
            a< RECEIPT
            ${LEFT}
            count $q 0`,
    },
    {
        name: 'NACK with requeue:false dead-letters',
        script: text`
            make $d
            make $q {"deadLetterExchange": "", "deadLetterRoutingKey": "$d"}
            a> SUBSCRIBE|id:s|destination:/amq/queue/$q|ack:client|receipt:s
            a< RECEIPT
            amqp {"key": "$q", "body": "1"}
            a< MESSAGE
            a> NACK|id:$a.ack|requeue:false|receipt:r
            a< RECEIPT
            count $d 1`,
    },
    {
        name: 'NACK of ack:client counts for all before it',
        script: text`
            ${SUBSCRIBED('client')}
            ${THREE}
            a> NACK|id:$a2.ack|requeue:false|receipt:r
            a< RECEIPT
            ${LEFT}
            count $q 1`,
    },
    {
        name: 'ACK in 1.2 by message-id',
        script: text`
            ${SUBSCRIBED('client')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> ACK|message-id:$a.message-id|receipt:r
            a< RECEIPT`,
    },
    {
        name: 'ACK in 1.1 by id',
        clients: { a: '1.1' },
        script: text`
            ${SUBSCRIBED('client')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> ACK|id:$a.message-id|receipt:r
            a< RECEIPT`,
    },
    wrong('ACK without an id', 'ACK|foo:bar'),
    wrong('NACK without an id', 'NACK|foo:bar'),
    wrong('ACK of nonsense', 'ACK|id:nonsense'),
    wrong('ACK of a subscription that is not there', 'ACK|id:T_other@@x@@1'),
    wrong('ACK of a number that was not delivered', 'ACK|id:T_s@@$a.nothing@@99'),
    wrong('ACK of a message of ack:auto', 'ACK|id:$a.message-id', 'auto'),
    wrong('NACK of a message of ack:auto', 'NACK|id:$a.message-id', 'auto'),
    {
        name: 'ACK twice',
        script: text`
            ${SUBSCRIBED('client')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> ACK|id:$a.ack|receipt:1
            a< RECEIPT
            a> ACK|id:$a.ack|receipt:2
            a< RECEIPT ERROR`,
    },
    {
        name: "ACK of another session's message",
        script: text`
            ${SUBSCRIBED('client-individual')}
            b> SUBSCRIBE|id:s|destination:/queue/$p|ack:client-individual|receipt:s
            b< RECEIPT
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> SEND|destination:/queue/$p||2
            b< MESSAGE
            b> ACK|id:$a.ack|receipt:r
            b< RECEIPT
            b> DISCONNECT|receipt:d
            b< RECEIPT
            b! closed
            count $p 1`,
    },
    {
        name: 'ACK after UNSUBSCRIBE',
        script: text`
            ${SUBSCRIBED('client')}
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> UNSUBSCRIBE|id:s|receipt:u
            a< RECEIPT
            a> ACK|id:$a.ack|receipt:r
            a< RECEIPT
            ${LEFT}
            count $q 0`,
    },
    {
        name: 'client: what an ACK counts for when there are two subscriptions',
        script: text`
            a> SUBSCRIBE|id:one|destination:/queue/$q|ack:client|receipt:s
            a< RECEIPT
            a> SUBSCRIBE|id:two|destination:/queue/$p|ack:client|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> SEND|destination:/queue/$p||2
            a< MESSAGE
            a> ACK|id:$a2.ack|receipt:r
            a< RECEIPT
            ${LEFT}
            count $q 1
            count $p 0`,
    },
    {
        name: 'client acks of a topic: a queue of its own',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t|ack:client|receipt:s
            a< RECEIPT
            look amq.topic $t
            a> SEND|destination:/topic/$t||1
            a< MESSAGE
            a> NACK|id:$a.ack|receipt:n
            a< RECEIPT MESSAGE
            a> ACK|id:$a.ack|receipt:k
            a< RECEIPT
            a> UNSUBSCRIBE|id:s|receipt:u
            a< RECEIPT
            left amq.topic $t`,
    },
    ...['sometimes', 'Client', ''].map((mode) => ({
        name: `an ack mode that is none: '${mode}'`,
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|ack:${mode}|receipt:s
            a< RECEIPT`,
    })),
    {
        name: 'prefetch-count: so many and no more',
        script: text`
            a> SEND|destination:/queue/$q||1
            a> SEND|destination:/queue/$q||2
            a> SEND|destination:/queue/$q|receipt:sent||3
            a< RECEIPT
            ${SUBSCRIBED('client-individual', '|prefetch-count:1')}
            a< MESSAGE
            count $q 2
            a> ACK|id:$a.ack
            a< MESSAGE
            count $q 1`,
    },
    {
        name: 'prefetch-count of one subscription and not of the next',
        script: text`
            a> SUBSCRIBE|id:one|destination:/queue/$p|ack:client-individual|prefetch-count:1|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q||1
            a> SEND|destination:/queue/$q|receipt:sent||2
            a< RECEIPT
            ${SUBSCRIBED('client-individual')}
            a< MESSAGE
            a< MESSAGE`,
        patience: 3000,
    },
    ...['x', '-1', '65536', '0'].map((count) => ({
        name: `prefetch-count:${count}`,
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|ack:client|prefetch-count:${count}|receipt:s
            a< RECEIPT`,
    })),
];
