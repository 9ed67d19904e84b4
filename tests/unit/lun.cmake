unit_test(lun_open_test SOURCES lun_open_test.cc LIBS tcmurbd_fake_outside)
unit_test(lun_test SOURCES lun_lock_test.cc lun_serving_test.cc lun_test.cc LIBS tcmurbd_fake_outside LABELS threaded)
unit_test(copy_manager_test SOURCES copy_manager_test.cc LIBS tcmurbd_fake_outside LABELS threaded)
unit_test(daemon_test SOURCES daemon_test.cc LIBS tcmurbd_daemon tcmurbd_fake_outside LABELS threaded)
