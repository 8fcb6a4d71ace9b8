package stompgate.chat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import org.apache.catalina.Context;
import org.apache.catalina.LifecycleException;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.websocket.server.WsSci;
import org.springframework.web.context.support.AnnotationConfigWebApplicationContext;
import org.springframework.web.servlet.DispatcherServlet;

/**
 * One instance of the application, on a free port of loopback: {@code ws://127.0.0.1:<port>/chat?user=<name>}.
 * Whoever connects is the user that the address names.
 */
public final class ChatServer implements AutoCloseable {
    private final Tomcat tomcat = new Tomcat();
    private final AnnotationConfigWebApplicationContext context = new AnnotationConfigWebApplicationContext();

    public ChatServer(Relay relay) {
        context.addBeanFactoryPostProcessor(beans -> beans.registerSingleton("relay", relay));
        context.register(ChatConfiguration.class, ChatController.class, Availability.class);
        String folder = temporaryFolder();
        tomcat.setBaseDir(folder);
        tomcat.setConnector(loopback());
        Context web = tomcat.addContext("", folder);
        web.addServletContainerInitializer(new WsSci(), null);
        Tomcat.addServlet(web, "chat", new DispatcherServlet(context)).setLoadOnStartup(1);
        web.addServletMappingDecoded("/", "chat");
        start();
    }

    private static Connector loopback() {
        Connector connector = new Connector();
        connector.setProperty("address", "127.0.0.1");
        connector.setPort(0);
        return connector;
    }

    private static String temporaryFolder() {
        try {
            return Files.createTempDirectory("stompgate-chat").toString();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    // Tomcat logs what a servlet throws while it starts, and goes on without it.
    private void start() {
        try {
            tomcat.start();
        } catch (LifecycleException error) {
            throw new IllegalStateException(error);
        }
        if (!context.isActive()) {
            throw new IllegalStateException("the application did not start");
        }
    }

    public String origin() {
        return "127.0.0.1:" + tomcat.getConnector().getLocalPort();
    }

    public String url(String user) {
        return "ws://" + origin() + "/chat?user=" + user;
    }

    public <T> T bean(Class<T> type) {
        return context.getBean(type);
    }

    @Override
    public void close() {
        try {
            tomcat.stop();
            tomcat.destroy();
        } catch (LifecycleException error) {
            throw new IllegalStateException(error);
        }
    }
}
