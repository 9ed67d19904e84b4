unit_test(lun_open_test SOURCES lun_open_test.cc LIBS tcmurbd_fake_outside)
