package treadle;

import java.util.Map;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.en.PorterStemFilter;
import org.elasticsearch.index.analysis.AbstractTokenFilterFactory;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.plugins.Plugin;

/** The English stemmer that the server has in its optional modules, which its distribution for tests lacks. */
public class StemmerPlugin extends Plugin implements AnalysisPlugin {
  @Override
  public Map<String, AnalysisProvider<TokenFilterFactory>> getTokenFilters() {
    return Map.of("stemmer", (index, environment, name, settings) ->
      new AbstractTokenFilterFactory(name, settings) {
        @Override
        public TokenStream create(TokenStream tokens) {
          return new PorterStemFilter(tokens);
        }
      });
  }
}
