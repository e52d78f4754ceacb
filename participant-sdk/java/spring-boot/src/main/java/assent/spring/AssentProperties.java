package assent.spring;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings under "assent". What is not here (TLS, tokens) comes from the environment of the Java SDK, or from a bean of
 * one's own in place of the one that is made.
 *
 * @param service the name that transactions use; {@code spring.application.name} if it is not given
 * @param endpoint of the coordinators; ASSENT_ENDPOINT, or 127.0.0.1:7400, if it is not given
 * @param workers operations that run at once in a database server, each with a connection of the DataSource
 */
@ConfigurationProperties("assent")
public record AssentProperties(String service, String endpoint, @DefaultValue("8") int workers) {}
