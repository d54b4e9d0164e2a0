import { WatchedCall } from '../call/WatchedCall';

/** `/calls/:sid/live`: follows a call in progress elsewhere. */
export function LiveScreen({ sid }: { sid: string }) {
  return <WatchedCall callSid={sid} />;
}
