from cvae_edge.training.framework import import_tensorflow

import_tensorflow()
