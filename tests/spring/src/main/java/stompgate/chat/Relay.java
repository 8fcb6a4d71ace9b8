package stompgate.chat;

/** Where the application's broker listens for STOMP over TCP, and the account that it uses there. */
public record Relay(String host, int port, String login, String passcode) {
}
