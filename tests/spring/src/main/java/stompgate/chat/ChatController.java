package stompgate.chat;

import java.security.Principal;
import java.util.List;
import java.util.Map;
import org.springframework.messaging.handler.annotation.MessageMapping;
import org.springframework.messaging.handler.annotation.SendTo;
import org.springframework.messaging.simp.annotation.SendToUser;
import org.springframework.messaging.simp.annotation.SubscribeMapping;
import org.springframework.stereotype.Controller;

/** What the application does itself: each way in which an answer can leave a controller. */
@Controller
class ChatController {
    @MessageMapping("/say/{room}")
    @SendTo("/topic/room.{room}")
    String say(String text, Principal user) {
        return user.getName() + ": " + text;
    }

    // No @SendTo: Spring answers to /topic/sum.
    @MessageMapping("/sum")
    Map<String, Integer> sum(List<Integer> numbers) {
        return Map.of("sum", numbers.stream().mapToInt(Integer::intValue).sum());
    }

    @SubscribeMapping("/welcome")
    String welcome(Principal user) {
        return "welcome " + user.getName();
    }

    @MessageMapping("/ask")
    @SendToUser("/queue/answers")
    String ask(String question) {
        return "answer to " + question;
    }

    @MessageMapping("/whisper")
    @SendToUser(destinations = "/queue/answers", broadcast = false)
    String whisper(String question) {
        return "whispered " + question;
    }
}
