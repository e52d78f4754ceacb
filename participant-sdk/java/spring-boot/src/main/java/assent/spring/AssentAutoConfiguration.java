package assent.spring;

import assent.Client;
import assent.Participant;
import assent.Service;
import assent.jdbc.JdbcBarrier;
import javax.sql.DataSource;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.SmartLifecycle;
import org.springframework.context.annotation.Bean;
import org.springframework.core.env.Environment;

/**
 * A client; and, where there are {@link AssentActions} and a DataSource, a participant whose barrier is in that database.
 * It starts when everything else has, and is the first to stop: it says goodbye, and answers what it has. Each bean of
 * these types that the application has itself is taken instead.
 */
@AutoConfiguration(afterName = "org.springframework.boot.autoconfigure.jdbc.DataSourceAutoConfiguration")
@EnableConfigurationProperties(AssentProperties.class)
public class AssentAutoConfiguration {
  @Bean
  @ConditionalOnMissingBean
  public Client assentClient(AssentProperties settings) {
    Client.Builder builder = Client.builder();
    if (settings.endpoint() != null) builder.endpoints(settings.endpoint());
    return builder.build();
  }

  @Bean
  @ConditionalOnBean({DataSource.class, AssentActions.class})
  @ConditionalOnMissingBean
  public JdbcBarrier assentBarrier(DataSource source, AssentProperties settings, ObjectProvider<AssentActions> actions) {
    JdbcBarrier db = new JdbcBarrier(source).workers(settings.workers());
    actions.orderedStream().forEach(one -> one.register(db));
    return db;
  }

  @Bean
  @ConditionalOnBean(JdbcBarrier.class)
  @ConditionalOnMissingBean
  public Participant assentParticipant(JdbcBarrier db, AssentProperties settings, Environment environment) {
    String name = settings.service() != null ? settings.service() : environment.getProperty("spring.application.name");
    if (name == null) {
      throw new IllegalStateException("the service has no name: set assent.service, or spring.application.name");
    }
    Participant.Builder builder = Participant.builder(new Service(name, db));
    if (settings.endpoint() != null) builder.endpoints(settings.endpoint());
    return builder.build();
  }

  @Bean
  @ConditionalOnBean(Participant.class)
  public SmartLifecycle assentLifecycle(Participant participant) {
    return new SmartLifecycle() {
      private volatile boolean isRunning;

      @Override
      public void start() {
        participant.start();
        isRunning = true;
      }

      @Override
      public void stop() {
        isRunning = false;
        participant.close();
      }

      @Override
      public boolean isRunning() {
        return isRunning;
      }
    };
  }
}
