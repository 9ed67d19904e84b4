unit_test(metrics_test SOURCES metrics_page_test.cc metrics_test.cc LIBS tcmurbd_metrics fmt::fmt)
target_compile_definitions(metrics_test
  PRIVATE METRICS_PAGE="${CMAKE_SOURCE_DIR}/rbd_handler/metrics/METRICS.md")
