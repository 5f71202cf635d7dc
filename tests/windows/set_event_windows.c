// set_event.exe NAME: sets the event of that name, as scripts do that ask Mosquitto.
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

int main(int argc, char *argv[]) {
    HANDLE event = argc == 2 ? OpenEventA(EVENT_MODIFY_STATE, FALSE, argv[1]) : NULL;
    if (event == NULL || !SetEvent(event)) {
        fprintf(stderr, "set_event: no such event\n");
        return EXIT_FAILURE;
    }
    CloseHandle(event);
    return EXIT_SUCCESS;
}
