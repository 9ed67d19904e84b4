unit_test(config_test SOURCES config_test.cc LIBS tcmurbd_config)
target_compile_definitions(config_test
  PRIVATE SAMPLE_CONFIG="${CMAKE_SOURCE_DIR}/config/tcmu-rbd.yaml")
unit_test(image_spec_test SOURCES image_spec_test.cc LIBS tcmurbd_config)
unit_test(tcmu_conf_test SOURCES tcmu_conf_test.cc LIBS tcmurbd_config)
